"""Published data sets of photographs and street scenes."""

from published_sets import Published, both

# http://host.robots.ox.ac.uk/pascal/VOC/voc2012/, in the order of its numbers
VOC = [
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat"),
    *("chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant"),
    *("sheep", "sofa", "train", "tvmonitor"),
]
LISTS = "VOCdevkit/VOC2012/ImageSets/Segmentation"


def voc_colors():
    """The colours of the VOC development kit: the bits of a number, dealt to red, green, blue."""
    colors = {}
    for number in (*range(21), 255):
        rgb = [0, 0, 0]
        for place in range(8):
            for band in range(3):
                rgb[band] |= (number >> (3 * place + band) & 1) << (7 - place)
        colors[number] = tuple(rgb)
    return colors


def voc_hex():
    """Those of the classes, as `#rrggbb`."""
    return {name: "#{:02x}{:02x}{:02x}".format(*voc_colors()[i]) for i, name in enumerate(VOC)}


def voc(*names):
    """Photographs and masks of VOC 2012."""
    folder = "VOCdevkit/VOC2012"
    return both(f"{folder}/JPEGImages/{{}}.jpg", f"{folder}/SegmentationClass/{{}}.png", *names)


def sbd(*names):
    """Photographs and MATLAB files of SBD."""
    folder = "benchmark_RELEASE/dataset"
    return both(f"{folder}/img/{{}}.jpg", f"{folder}/cls/{{}}.mat", *names)


def mapillary(version, name, **facts):
    """Layout of mmsegmentation's docs/en/user_guides/2_dataset_prepare.md."""
    return Published(
        name=name,
        pairs={"train": 18000, "val": 2000, "test": None},  # its own README
        files={
            split: both(f"{folder}/images/{{}}.jpg", f"{folder}/v{version}/labels/{{}}.png", stem)
            for split, folder, stem in (("train", "training", "-aB_c"), ("val", "validation", "d"))
        },
        unlabelled={"test": ["testing/images/e.jpg"]},
        **facts,
    )


STREET = {  # cityscapesscripts/helpers/labels.py: id, class, colour
    7: ("road", "#804080"),
    8: ("sidewalk", "#f423e8"),
    11: ("building", "#464646"),
    12: ("wall", "#66669c"),
    13: ("fence", "#be9999"),
    17: ("pole", "#999999"),
    19: ("traffic light", "#faaa1e"),
    20: ("traffic sign", "#dcdc00"),
    21: ("vegetation", "#6b8e23"),
    22: ("terrain", "#98fb98"),
    23: ("sky", "#4682b4"),
    24: ("person", "#dc143c"),
    25: ("rider", "#ff0000"),
    26: ("car", "#00008e"),
    27: ("truck", "#000046"),
    28: ("bus", "#003c64"),
    31: ("train", "#005064"),
    32: ("motorcycle", "#0000e6"),
    33: ("bicycle", "#770b20"),
}

COMMON_IMAGES = [
    Published(
        name="meter",  # PaddleX, examples/meter_reader: README.md and SEG_CNAME2CLSID
        count=3,
        colors={},  # none are published
        pairs={"train": 374, "val": 40},
        files={
            split: both(
                f"meter_seg/images/{split}/{{}}.jpg", f"meter_seg/annotations/{split}/{{}}.png", n
            )
            for split, n in (("train", "105"), ("val", "110"))
        },
        texts={
            "meter_seg/labels.txt": "background\npointer\nscale\n",
            "meter_seg/train.txt": "images/train/105.jpg annotations/train/105.png\n",
        },
        keys={0: "background", 1: "pointer", 2: "scale"},
    ),
    Published(
        name="voc-2012",
        count=21,
        colors=voc_hex(),
        pairs={"train": 1464, "val": 1449},
        files={"train": voc("2007_000032", "2007_000039"), "val": voc("2007_000033")},
        texts={
            f"{LISTS}/train.txt": "2007_000032\n2007_000039\n",
            f"{LISTS}/val.txt": "2007_000033\n",
            f"{LISTS}/trainval.txt": "2007_000032\n2007_000033\n2007_000039\n",
        },
        keys=dict(enumerate(VOC)) | {255: None},
        palette=voc_colors(),
    ),
    Published(
        name="voc-sbd",  # 10582 = 1464 of VOC and those of SBD that are not in its trainval
        count=21,
        colors=voc_hex(),
        pairs={"train": 10582, "val": 1449},
        files={
            "train": voc("2007_000032") + sbd("2008_000002", "2011_003276"),
            "val": voc("2007_000033"),
        },
        texts={
            f"{LISTS}/train.txt": "2007_000032\n",
            f"{LISTS}/val.txt": "2007_000033\n",
            f"{LISTS}/trainval.txt": "2007_000032\n2007_000033\n",
            "benchmark_RELEASE/dataset/img/2007_000032.jpg": "labelled by VOC",
            "benchmark_RELEASE/dataset/img/2007_000033.jpg": "kept for validation",
        },
        keys=dict(enumerate(VOC)),
    ),
    Published(
        name="ade20k",  # https://github.com/CSAILVision/sceneparsing: objectInfo150, color150
        count=150,
        digest="83310fd37c5fdb28",  # the first name of each line of objectInfo150.txt
        colors={"wall": "#787878", "building": "#b47878", "sky": "#06e6e6", "flag": "#5c00ff"},
        pairs={"train": 20210, "val": 2000},
        files={
            split: both(
                f"ADEChallengeData2016/images/{folder}/{{}}.jpg",
                f"ADEChallengeData2016/annotations/{folder}/{{}}.png",
                f"ADE_{short}_00000001",
            )
            for split, folder, short in (
                ("train", "training", "train"),
                ("val", "validation", "val"),
            )
        },
        keys={0: None, 1: "wall", 13: "person", 96: "bannister", 131: "screen", 150: "flag"},
    ),
    Published(
        name="cityscapes",
        count=19,
        colors=dict(STREET.values()),
        pairs={"train": 2975, "val": 500, "test": None},
        files={
            split: both(
                f"leftImg8bit/{split}/{town}/{{}}_leftImg8bit.png",
                f"gtFine/{split}/{town}/{{}}_gtFine_labelIds.png",
                *names,
            )
            for split, town, names in (
                ("train", "aachen", ["aachen_000000_000019", "aachen_000001_000019"]),
                ("val", "munster", ["munster_000000_000019"]),
            )
        },
        texts={"gtFine/train/aachen/aachen_000000_000019_gtFine_polygons.json": "{}"},
        unlabelled={"test": ["leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png"]},
        keys={id_: name for id_, (name, _) in STREET.items()}
        | dict.fromkeys([0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30]),
    ),
    Published(
        name="coco-stuff",  # https://github.com/nightrome/cocostuff: 171 classes, labels.txt less 1
        count=80 + 91,
        digest="39e686fcb1a9ef57",  # labels.txt without the eleven that never occur
        colors={},  # none are published for things
        pairs={"train": 118287, "val": 5000},
        files={
            split: both(
                f"dataset/images/{split}2017/{{}}.jpg",
                f"dataset/annotations/{split}2017/{{}}.png",
                "000000000009",
            )
            for split in ("train", "val")
        },
        keys={0: "person", 12: "stop sign", 89: "toothbrush", 91: "banner"}
        | {109: "desk-stuff", 156: "sky-other", 181: "wood", 255: None},
    ),
    Published(
        name="bdd100k",  # bdd100k/label/label.py and doc/source/format.rst: ids of training
        count=19,
        colors=dict(STREET.values()),
        pairs={"train": 7000, "val": 1000, "test": None},  # of dataset-ninja/bdd100k-10k
        files={
            split: both(
                f"bdd100k/images/10k/{split}/{{}}.jpg",
                f"bdd100k/labels/sem_seg/masks/{split}/{{}}.png",
                "0004a4c0-d4dff0ad",
            )
            for split in ("train", "val")
        },
        unlabelled={"test": ["bdd100k/images/10k/test/ac6d4f42-00000000.jpg"]},
        keys={number: name for number, (name, _) in enumerate(STREET.values())} | {255: None},
    ),
    mapillary(
        "2.0",
        "mapillary-vistas",
        digest="305baed03076f229",
        count=70 + 46,  # with instances and stuff; 8 more are void or crowds (config_v2.0.json)
        colors={"Bird": "#a52a2a", "Road": "#804080", "Sky": "#4682b4", "Car": "#00008e"},
        keys={0: "Bird", 21: "Road", 30: "Person", 61: "Sky", 108: "Car", 122: "Static"}
        | dict.fromkeys([2, 31, 38, 79, 86, 96, 115, 123]),
        palette={0: (165, 42, 42), 30: (220, 20, 60), 31: (220, 20, 60), 123: (0, 0, 0)},
    ),
    mapillary(
        "1.2",
        "mapillary-vistas-1",
        digest="baf2aa4b8319c8fc",
        count=65,  # and "unlabeled" (config_v1.2.json)
        colors={"Bird": "#a52a2a", "Road": "#804080", "Sky": "#4682b4", "Ego Vehicle": "#780a0a"},
        keys={0: "Bird", 13: "Road", 27: "Sky", 55: "Car", 64: "Ego Vehicle", 65: None},
    ),
    Published(
        name="lip",  # colours: human_colormap.mat of github.com/Engineering-Course/LIP_SSL
        count=19 + 1,
        colors={"background": "#000000", "hat": "#800000", "hair": "#ff0000", "face": "#0000ff"},
        pairs={"train": 30462, "val": 10000},
        files={
            split: both(f"LIP/{split}_images/{{}}.jpg", f"LIP/{split}_segmentations/{{}}.png", stem)
            for split, stem in (("train", "1000_1234574"), ("val", "100034_483681"))
        },
        keys={0: "background", 1: "hat", 13: "face", 14: "left arm", 19: "right shoe"},
    ),
]
