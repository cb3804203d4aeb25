"""OpenVINO's files of strangers are refused in one line; those of ours are read whole."""

import hashlib
import xml.etree.ElementTree as ET
from xml.sax.saxutils import quoteattr

import pytest
from exported_card import CARD

from geoseg.errors import BundleError
from geoseg.nn.exported_model import EXPORT_KEY, ExportNote
from geoseg.nn.open_model import open_model
from geoseg.nn.openvino_file import graph_digest, open_openvino

WEIGHTS = b"weights"
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()


def document(*, lengths=("-1", "3", "8", "8"), card=None, extra="", head=""):
    """The parts of an `.xml` that geoseg itself looks at."""
    note = ExportNote(divisor=1.0, weights=DIGEST).model_dump_json()
    card = CARD.model_dump_json() if card is None else card
    taken = "".join(f"<dim>{length}</dim>" for length in lengths)
    given = "".join(f"<dim>{length}</dim>" for length in ("-1", "2", "8", "8"))
    return f"""<?xml version="1.0"?>{head}<net name="g" version="11"><layers>
    <layer id="0" name="input" type="Parameter"><output><port id="0">{taken}</port></output></layer>
    <layer id="1" name="output" type="Result"><input><port id="0">{given}</port></input></layer>
    {extra}</layers>
    <rt_info><geoseg value={quoteattr(card)} /><{EXPORT_KEY} value={quoteattr(note)} /></rt_info>
    </net>"""


@pytest.fixture
def write(tmp_path):
    def write(text, weights=WEIGHTS):
        path = tmp_path / "model.xml"
        path.write_text(text)
        if weights is not None:
            (tmp_path / "model.bin").write_bytes(weights)
        return str(path)

    return write


def refused(path, message):
    with pytest.raises(BundleError, match=message) as caught:
        open_openvino(path)
    assert "\n" not in str(caught.value)


def test_a_changed_layer(write):
    """What the checksum of the weights does not see; how the text is indented says nothing."""
    text = document()
    digest = graph_digest(ET.fromstring(text))
    noted = text.replace("&quot;graph&quot;:null", f"&quot;graph&quot;:&quot;{digest}&quot;")
    noted = noted.replace('"graph":null', f'"graph":"{digest}"')
    assert digest in noted
    open_openvino(write(noted))
    open_openvino(write(noted.replace("</layer>", "  </layer>\n\n")))
    for old, new in (('type="Result"', 'type="Result" version="2"'), ('name="output"', 'name="o"')):
        refused(write(noted.replace(old, new)), "the checksum of its operators differs")
    refused(write(noted.replace("<layer id", '<layer id="7" /><layer id', 1)), "operators differs")


def test_what_was_written_is_read(write):
    model = open_model(write(document()))
    assert (model.card, model.divisor, model.format) == (CARD, 1.0, "openvino")
    assert model.constants == WEIGHTS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": ("-1", "4", "8", "8")}, "its input is 0 x 4 x 8 x 8"),
        ({"lengths": ("3", "8", "8")}, "its input is"),
        ({"card": "{"}, "card is no JSON"),
        ({"extra": "<layer type='Loop'><body/></layer>"}, "branches or loops"),
        ({"head": "<!DOCTYPE x [<!ENTITY a 'b'>]>"}, "declares entities"),
    ],
)
def test_broken(write, changes, message):
    refused(write(document(**changes)), message)


def test_no_xml_and_no_card(write):
    refused(write("<net>"), "is no XML")
    refused(write("<net/>"), "holds no card")


def test_words_in_another_encoding_are_not_missed(write, tmp_path):
    write("")
    text = document(head="<!DOCTYPE x [<!ENTITY a 'b'>]>").replace("?>", ' encoding="UTF-16"?>', 1)
    (tmp_path / "model.xml").write_bytes(text.encode("utf-16"))
    refused(str(tmp_path / "model.xml"), "is no UTF-8")


def test_other_weights_or_none(write, tmp_path):
    refused(write(document(), b"other"), "is damaged or was changed")
    (tmp_path / "model.bin").unlink()
    refused(write(document(), None), "no such file")
