"""The page of an accuracy report as text: its numbers, and that it trusts and asks nobody."""

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser

import geopandas
import numpy as np
import pytest
import shapely
from hostile_report import FOLDER, LEGEND, NAMES, SHAPE, STEMS, TAG, make_report
from PIL import Image

from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.reports.html import Cell, Html, element, page, table

EMPTY = {"img", "meta", "link", "br"}


class Page(HTMLParser):
    """Elements, texts and tables of a page."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.tables, self.texts = [], {}, []
        self._open, self._table = [], None
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in EMPTY:
            self._open.append(tag)
        if tag == "table":
            self._table = self.tables[attributes.get("id")] = []
        elif tag == "tr":
            self._table.append([])
        elif tag in ("td", "th"):
            self._table[-1].append(["", attributes.get("data-value")])

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] not in ("script", "style"):
            self.texts.append(data)
            if "table" in self._open and ("td" in self._open or "th" in self._open):
                self._table[-1][-1][0] += data

    def values(self, name):
        """Numbers of a table's rows, the head and the names left out."""
        rows = self.tables[name][1:]
        return [[float(v) if v else None for _, v in row[1:]] for row in rows]

    def names(self, name):
        return [row[0][0] for row in self.tables[name][1:]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_report(tmp_path_factory.mktemp("html"))


@pytest.fixture(scope="module")
def text(made):
    return (made[0] / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(text):
    return Page(text)


class TestNumbers:
    """All that is read on the page is what `report.json` holds."""

    def test_classes(self, made, read):
        keys = ("iou", "dice", "precision", "recall", "reference_pixels", "predicted_pixels")
        expected = [[row[key] for key in keys] for row in made[1]["classes"]]
        assert read.values("classes") == expected
        assert read.names("classes") == list(NAMES)

    def test_confusion(self, made, read):
        assert read.values("confusion") == made[1]["confusion"]
        first = made[1]["confusion"][1]
        assert read.tables["confusion"][2][2][0] == f"{first[1] / sum(first):.1%}{first[1]:,}"

    def test_scenes(self, made, read):
        expected = [
            [
                *(scene[key] for key in ("mean_iou", "pixel_accuracy", "kappa")),
                scene["pixels"]["counted"],
                scene["pixels"]["coverage"],
            ]
            for scene in made[1]["scenes"]
        ]
        assert read.values("scenes") == expected

    def test_trivial_map(self, made, read):
        keys = ("pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "mean_dice", "kappa")
        ours, bar = zip(*read.values("trivial"), strict=True)
        assert list(ours) == [made[1][key] for key in keys]
        assert list(bar) == [made[1]["trivial"].get(key) for key in keys]

    def test_borders_objects_calibration_areas(self, made, read):
        content = made[1]
        keys = ("iou", "f1", "precision", "recall")
        borders = [[row[key] for key in keys] for row in content["boundary"]["classes"]]
        assert read.values("boundary") == borders
        keys = ("precision", "recall", "f1", "reference", "predicted", "matched")
        sizes = [[row[key] for key in keys] for row in content["objects"]["sizes"]]
        assert read.values("object-sizes") == sizes
        keys += ("mean_matched_iou",)
        objects = [*content["objects"]["classes"], content["objects"]]
        assert read.values("objects") == [[row[key] for key in keys] for row in objects]
        found = dict(zip(read.names("calibration"), read.values("calibration"), strict=True))
        error = content["calibration"]["expected_calibration_error"]
        assert found["expected calibration error"] == [error]
        keys = ("mapped", "mapped_compared", "reference_compared")
        areas = [[row[key] for key in keys] for row in content["area"]["classes"]]
        assert read.values("area") == areas

    def test_headline(self, made, read):
        content = made[1]
        found = [a["data-value"] for tag, a in read.elements if tag == "b" and "data-value" in a]
        keys = ("mean_iou", "pixel_accuracy", "mean_f1", "kappa")
        expected = [content[key] for key in keys] + [
            content["boundary"]["mean_iou"],
            content["objects"]["f1"],
            content["calibration"]["expected_calibration_error"],
        ]
        windows = content["windows"]["worst"] + content["windows"]["best"]
        shares = [window["share"] for window in windows]
        assert list(map(float, found)) == expected + shares


class TestSample:
    @pytest.fixture
    def without_labels(self, made, tmp_path):
        """The last map alone, with two points a class, all but one of them right."""
        prediction = made[2][-1][1]
        path = made[0].parent / "maps" / "c.tif"
        places = [place for value in range(4) for place in np.argwhere(prediction == value)[:2]]
        frame = geopandas.GeoDataFrame(
            {"reference": [NAMES[value // 2] for value in (2, 1, 2, 3, 4, 5, 6, 7)]},
            geometry=[shapely.Point(500001 + 2 * col, 5399999 - 2 * row) for row, col in places],
            crs=32632,
        )
        frame.to_file(tmp_path / "points.gpkg")
        options = EvaluateOptions(legend=LEGEND, sample=tmp_path / "points.gpkg")
        evaluate([path], None, tmp_path / "report", options)
        return tmp_path / "report"

    def test_it_has_a_page_of_its_own(self, without_labels):
        names = {"report.json", "report.html", "area.png", "area.csv", "sample.csv"}
        assert {path.name for path in without_labels.iterdir()} == names
        content = json.loads((without_labels / "report.json").read_text())
        read = Page((without_labels / "report.html").read_text())
        assert set(read.tables) == {"area", "sample", "settings", None}
        keys = ("area", "users_accuracy", "producers_accuracy")
        found = content["area"]["sample"]["classes"]
        expected = [[*(row[key]["value"] for key in keys), row["mapped_share"]] for row in found]
        assert read.values("sample") == expected
        assert expected[0][1] == 0.5
        assert read.values("area") == [[row["mapped"]] for row in content["area"]["classes"]]


class TestTrust:
    def test_names_stay_names(self, text, read):
        scripts = [tag for tag, _ in read.elements if tag == "script"]
        assert len(scripts) == 1
        assert all(tag not in ("b", "i") or "onclick" not in a for tag, a in read.elements)
        assert not [a for _, a in read.elements for key in a if key.startswith("on")]
        assert TAG in "".join(read.texts) and FOLDER in "".join(read.texts)
        for name in NAMES[1:]:
            assert name in read.texts and name not in text

    def test_nothing_is_fetched(self, text, read):
        addresses = [a[k] for _, a in read.elements for k in ("src", "href") if k in a]
        assert all(each.startswith(("data:", "#")) for each in addresses)
        style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
        assert "url(" not in style and "@import" not in style
        places = [a["style"] for _, a in read.elements if "style" in a]
        assert not [each for each in places if "url" in each]

    def test_links_lead_to_the_parts(self, read):
        identities = [a["id"] for _, a in read.elements if "id" in a]
        assert len(set(identities)) == len(identities)
        links = [a["href"] for tag, a in read.elements if tag == "a"]
        assert len(links) == 11 and {link[1:] for link in links} <= set(identities)

    def test_the_policy_lets_the_script_of_the_page_run_and_no_other(self, text, read):
        policy = next(a["content"] for tag, a in read.elements if tag == "meta" and "content" in a)
        script = re.search(r"<script>(.*?)</script>", text, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert "default-src 'none'" in policy
        assert f"script-src 'sha256-{digest}'" in policy

    def test_every_image_says_what_it_shows(self, read):
        assert all(a["alt"] for tag, a in read.elements if tag == "img")


class TestPictures:
    def test_windows_are_rows_of_four_or_without_images_three(self, made, read, tmp_path):
        windows = made[1]["windows"]
        count = len(windows["worst"]) + len(windows["best"])
        shown = [a["alt"] for tag, a in read.elements if tag == "img" and " of " in a["alt"]]
        for title in ("image", "reference", "prediction", "error"):
            assert sum(alt.startswith(f"{title} of ") for alt in shown) == count
        folder, content, _ = make_report(tmp_path, images=False, stems=("c",), windows=1)
        bare = Page((folder / "report.html").read_text())
        shown = [a["alt"] for tag, a in bare.elements if tag == "img" and "c.tif" in a["alt"]]
        # All windows of one small scene overlap, so that there is one.
        assert [alt.split()[0] for alt in shown] == ["errors", "reference", "prediction", "error"]
        assert (len(content["windows"]["worst"]), len(content["windows"]["best"])) == (1, 0)

    def test_red_pixels_of_an_error_map_are_those_beside_the_diagonal(self, made, read):
        """The maps are small, so that each cell is a pixel, shown as a square."""
        uris = {a["alt"]: a["src"] for tag, a in read.elements if tag == "img"}
        for scene in made[1]["scenes"]:
            data = base64.b64decode(uris[f"errors of {scene['prediction']}"].partition(",")[2])
            picture = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
            times = picture.shape[1] // SHAPE[1]
            assert picture.shape == (SHAPE[0] * times, SHAPE[1] * times, 3)
            small = picture[::times, ::times].reshape(-1, 3).tolist()
            matrix = np.array(scene["confusion"])
            assert small.count([168, 0, 32]) == matrix.sum() - np.trace(matrix)
            assert small.count([207, 219, 230]) == np.trace(matrix)

    def test_the_worst_window_is_the_one_that_numpy_finds(self, made):
        content, pairs = made[1], made[2]
        side = content["windows"]["worst"][0]["height"]
        shares = {}
        for scene, (reference, prediction) in enumerate(pairs):
            for row in {0, SHAPE[0] - side}:
                for col in {0, SHAPE[1] - side}:
                    part = np.s_[row : row + side, col : col + side]
                    seen = (reference[part] != 255) & (prediction[part] != 255)
                    wrong = seen & (reference[part] != prediction[part])
                    shares[scene, row, col] = wrong.sum() / seen.sum()
        worst = content["windows"]["worst"][0]
        place = (worst["scene"], worst["row"], worst["col"])
        assert place == max(shares, key=shares.get)
        assert worst["share"] == shares[place]

    def test_provenance_is_what_the_rasters_tell(self, read):
        assert ["GEOSEG_MODEL", None] in [row[0] for row in read.tables["tags"]]
        assert [row[1][0] for row in read.tables["tags"]] == [TAG]
        assert all(f"{stem}.tif" in read.texts for stem in STEMS)


class TestElements:
    def test_text_is_escaped_wherever_it_stands(self):
        found = element("p", "<b>", Html("<i></i>"), ["&", ("'",)], title='"', hidden=True, id=None)
        assert found == '<p title="&quot;" hidden>&lt;b&gt;<i></i>&amp;&#x27;</p>'

    def test_control_characters_and_half_surrogates_are_replaced(self):
        assert element("p", "a\x00b\x1bc\udc80") == "<p>a\ufffdb\ufffdc?</p>"

    def test_long_tables_may_be_parted_between_pages(self):
        rows = [[Cell("a", is_name=True), Cell("1", 1.0)]]
        assert "long" not in table(["x", "y"], rows, identity="t")
        assert "sortable" not in table(["x", "y"], rows, identity="t")
        assert 'class="wide long"' in table(["x", "y"], rows * 20, identity="t")

    def test_a_page_is_whole(self):
        assert Page(page("<title>", "a < b")).texts.count("<title>") == 1
