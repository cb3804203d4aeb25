"""Published data sets of remote sensing."""

import json
from collections import Counter

from published_sets import SHAPE, Published, both

ISPRS = {  # the colours of the contests' page and of torchgeo's Potsdam2D and Vaihingen2D
    "#ffffff": "impervious surfaces",
    "#0000ff": "building",
    "#00ffff": "low vegetation",
    "#00ff00": "tree",
    "#ffff00": "car",
    "#ff0000": "clutter",
}


WHU = "3. The cropped image tiles and raster labels"


def square(*rows):
    """GeoJSON of rectangles with heights: west, south, east, north in degrees."""
    rings = [
        [[w, s, 0.0], [e, s, 0.0], [e, n, 0.0], [w, n, 0.0], [w, s, 0.0]] for w, s, e, n in rows
    ]
    shapes = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    return json.dumps({"type": "FeatureCollection", "features": features})


def isprs(name, train, test, images, labels, bands):
    """All images of a contest; one colour more where boundaries were taken out."""
    return Published(
        name=name,
        count=6,
        colors={name: color for color, name in ISPRS.items()},
        pairs={"train": len(train.split()), "test": len(test.split())},
        files={
            "train": both(images, labels, *train.split()),
            "test": both(images, labels, *test.split()),
        },
        keys=ISPRS | {"#000000": None},
        bands=bands,
        # Of Vaihingen the labels have no place, whatever the images have.
        georeferenced=name.startswith("potsdam"),
    )


def massachusetts(part, name, color, *counts):
    """https://www.cs.toronto.edu/~vmnih/data/: folders sat and map of train, valid and test."""
    folders = {"train": "train", "val": "valid", "test": "test"}
    return Published(
        name=f"massachusetts-{part}",
        count=2,
        colors={f"not {name}": "#000000", name: color},
        pairs=dict(zip(folders, counts, strict=True)),
        files={
            split: both(
                f"mass_{part}/{folder}/sat/{{}}.tiff",
                f"mass_{part}/{folder}/map/{{}}.tif",
                f"2267891{i}_15",
            )
            for i, (split, folder) in enumerate(folders.items())
        },
        # building maps are red on black, road maps gray
        keys={"#000000": f"not {name}", color: name}
        if part == "buildings"
        else {0: f"not {name}", 255: name},
    )


def buildings(count, images):
    """Pixels of both classes of some images."""
    return {
        "train": Counter({"building": count, "background": images * SHAPE[0] * SHAPE[1] - count})
    }


REMOTE_SENSING = [
    Published(
        name="inria",  # https://project.inria.fr/aerialimagelabeling/: 36 images of each of 5 towns
        count=2,
        colors={"building": "#ffffff", "not building": "#000000"},
        pairs={"train": 5 * 31, "val": 5 * 5},
        files={
            "train": both(
                "AerialImageDataset/train/images/{}.tif",
                "AerialImageDataset/train/gt/{}.tif",
                *("austin6", "austin12", "tyrol-w36", "vienna21"),
            ),
            "val": both(
                "AerialImageDataset/train/images/{}.tif",
                "AerialImageDataset/train/gt/{}.tif",
                *("austin1", "austin5", "tyrol-w2"),
            ),
        },
        unlabelled={"test": ["AerialImageDataset/test/images/bellingham1.tif"]},
        keys={0: "not building", 255: "building"},
        georeferenced=True,
    ),
    Published(
        name="whu-building",  # http://gpcv.whu.edu.cn/data/building_dataset.html
        count=2,
        colors={"building": "#ffffff"},
        pairs={"train": 4736, "val": 1036, "test": 2416},
        files={
            split: both(f"{WHU}/{split}/image/{{}}.tif", f"{WHU}/{split}/label/{{}}.tif", *names)
            for split, names in (("train", "01"), ("val", "2"), ("test", "3"))
        },
        keys={0: "not building", 255: "building"},
    ),
    massachusetts("roads", "road", "#ffffff", 1108, 14, 49),
    massachusetts("buildings", "building", "#ff0000", 137, 4, 10),
    isprs(
        "potsdam",
        "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 6_9 "
        "7_10 7_11 7_12 7_7 7_8 7_9",
        "5_15 6_15 6_13 3_13 4_14 6_14 5_14 2_13 4_15 2_14 5_13 4_13 3_14 7_13",
        "4_Ortho_RGBIR/top_potsdam_{}_RGBIR.tif",
        "5_Labels_all/top_potsdam_{}_label.tif",
        4,
    ),
    isprs(
        "vaihingen",
        "1 11 13 15 17 21 23 26 28 3 30 32 34 37 5 7",
        "6 24 35 16 14 22 10 4 2 20 8 31 33 27 38 12 29",
        "top/top_mosaic_09cm_area{}.tif",
        "top_mosaic_09cm_area{}.tif",
        3,
    ),
    # names of mmsegmentation's tools/dataset_converters/potsdam.py and vaihingen.py
    isprs(
        "potsdam-no-boundary",
        "2_10 2_11 2_12 3_10 3_11 3_12 4_10 4_11 4_12 5_10 5_11 5_12 6_10 6_11 6_12 6_7 6_8 6_9 "
        "7_10 7_11 7_12 7_7 7_8 7_9",
        "5_15 6_15 6_13 3_13 4_14 6_14 5_14 2_13 4_15 2_14 5_13 4_13 3_14 7_13",
        "4_Ortho_RGBIR/top_potsdam_{}_RGBIR.tif",
        "5_Labels_all_noBoundary/top_potsdam_{}_label_noBoundary.tif",
        4,
    ),
    isprs(
        "vaihingen-no-boundary",
        "1 11 13 15 17 21 23 26 28 3 30 32 34 37 5 7",
        "6 24 35 16 14 22 10 4 2 20 8 31 33 27 38 12 29",
        "top/top_mosaic_09cm_area{}.tif",
        "top_mosaic_09cm_area{}_noBoundary.tif",
        3,
    ),
    Published(
        name="loveda",  # https://github.com/Junjue-Wang/LoveDA; masks hold 0 for no data
        count=7,
        colors={"background": "#ffffff", "building": "#ff0000", "agriculture": "#ffc380"},
        pairs={"train": 2522, "val": 1669},
        files={
            "train": both("Train/Urban/images_png/{}.png", "Train/Urban/masks_png/{}.png", "1366")
            + both("Train/Rural/images_png/{}.png", "Train/Rural/masks_png/{}.png", "0"),
            "val": both("Val/Rural/images_png/{}.png", "Val/Rural/masks_png/{}.png", "2522")
            + both("Val/Urban/images_png/{}.png", "Val/Urban/masks_png/{}.png", "3514"),
        },
        unlabelled={"test": ["Test/Urban/images_png/4191.png"]},
        keys={0: None}
        | dict(
            enumerate(
                ["background", "building", "road", "water", "barren", "forest", "agriculture"], 1
            )
        ),
    ),
    Published(
        name="isaid",  # https://github.com/CAPTAIN-WHU/iSAID_Devkit, README and helpers/labels.py
        count=16,
        colors={"ship": "#00003f", "plane": "#007fff", "harbor": "#00649b", "bridge": "#007f3f"},
        pairs={"train": 1411, "val": 458},
        files={
            split: both(
                f"iSAID/{split}/images/{{}}.png",
                f"iSAID/{split}/images/{{}}_instance_color_RGB.png",
                *names,
            )
            for split, names in (("train", ["P0002", "P0010"]), ("val", ["P0003"]))
        },
        texts={
            f"iSAID/{split}/images/{name}_instance_id_RGB.png": "not looked at"
            for split, name in (("train", "P0002"), ("val", "P0003"))
        },
        unlabelled={"test": ["iSAID/test/images/P0006.png"]},
        keys={
            "#000000": "background",
            "#003f3f": "storage tank",
            "#003fff": "ground track field",
            "#007fbf": "soccer ball field",
            "#00bf7f": "roundabout",
        },
    ),
    Published(
        name="landcover-ai",  # arXiv 2005.02264; split.py writes three bands of the same number
        count=5,
        colors={"building": "#614a4a", "woodland": "#267300", "water": "#00c5ff"},
        pairs={"train": 7470, "val": 1602, "test": 1602},
        files={
            "train": both("output/{}.jpg", "output/{}_m.png", "M-33-20-D-c-4-2_0", "N-33_12"),
            "val": both("output/{}.jpg", "output/{}_m.png", "M-33-20-D-c-4-2_1"),
            "test": both("output/{}.jpg", "output/{}_m.png", "M-33-20-D-c-4-2_2"),
        },
        texts={
            "train.txt": "M-33-20-D-c-4-2_0\nN-33_12\n",
            "val.txt": "M-33-20-D-c-4-2_1\n",
            "test.txt": "M-33-20-D-c-4-2_2\n",
        },
        keys={
            f"#{number:02x}{number:02x}{number:02x}": name
            for number, name in enumerate(["background", "building", "woodland", "water", "road"])
        },
    ),
    Published(
        name="deepglobe-landcover",  # https://competitions.codalab.org/competitions/18468
        count=6,
        colors={"urban land": "#00ffff", "forest land": "#00ff00", "barren land": "#ffffff"},
        pairs={"train": 803, "val": None, "test": None},
        files={"train": both("train/{}_sat.jpg", "train/{}_mask.png", "119", "606")},
        unlabelled={"val": ["valid/949_sat.jpg"], "test": ["test/6100_sat.jpg"]},
        keys={
            "#00ffff": "urban land",
            "#ffff00": "agriculture land",
            "#ff00ff": "rangeland",
            "#00ff00": "forest land",
            "#0000ff": "water",
            "#ffffff": "barren land",
            "#fdfffe": "barren land",  # "may not be pure 0 and 255"
            "#000000": None,
            "#03017f": None,
        },
    ),
    Published(
        name="tianchi-buildings",  # column-major runs from 1, tabs, no header (Datawhale, task 1)
        count=2,
        colors={"building": "#ffffff"},
        pairs={"train": 30000, "test": None},
        files={"train": [(f"train/{name}.jpg", "train_mask.csv") for name in ("A1", "B2", "C3")]},
        texts={"train_mask.csv": "A1.jpg\t2 5 20 1\nB2.jpg\t\nC3.jpg\t1 96\n"},
        truth=buildings((5 + 1) + 0 + 96, 3),
        unlabelled={"test": ["test_a/0A.jpg"]},
        keys={0: "background"},
    ),
    Published(
        name="spacenet-1",  # torchgeo's SpaceNet1
        count=2,
        colors={"building": "#ffffff"},
        pairs={"train": 6940, "test": None},
        files={
            "train": both(
                "SN1_buildings/train/3band/3band_AOI_1_RIO_img{}.tif",
                "SN1_buildings/train/geojson/Geo_AOI_1_RIO_img{}.geojson",
                *("1", "12"),
            )
        },
        texts={
            "SN1_buildings/train/geojson/Geo_AOI_1_RIO_img1.geojson": square((2, 48, 3, 49)),
            "SN1_buildings/train/geojson/Geo_AOI_1_RIO_img12.geojson": "",  # no building
        },
        truth=buildings(4 * 4, 2),  # four pixels a degree
        unlabelled={"test": ["SN1_buildings/test/3band/3band_AOI_2_RIO_img1.tif"]},
        keys={0: "background"},
        georeferenced=True,
    ),
    Published(
        name="spacenet-2",  # torchgeo's SpaceNet2; images of 16 bits
        count=2,
        colors={"building": "#ffffff"},
        pairs={"train": 3850 + 1148 + 4582 + 1012, "test": None},
        files={
            "train": [
                (
                    f"SN2_buildings/train/AOI_{town}_Train/RGB-PanSharpen/"
                    f"RGB-PanSharpen_AOI_{town}_img{i}.tif",
                    f"SN2_buildings/train/AOI_{town}_Train/geojson/buildings/"
                    f"buildings_AOI_{town}_img{i}.geojson",
                )
                for town, i in (("2_Vegas", 1), ("5_Khartoum", 1))
            ]
        },
        texts={
            "SN2_buildings/train/AOI_2_Vegas_Train/geojson/buildings/"
            "buildings_AOI_2_Vegas_img1.geojson": square((2, 48, 2.5, 49), (3, 48.5, 3.25, 49)),
            "SN2_buildings/train/AOI_5_Khartoum_Train/geojson/buildings/"
            "buildings_AOI_5_Khartoum_img1.geojson": square((2, 47, 5, 49)),
        },
        truth=buildings(2 * 4 + 1 * 2 + 12 * 8, 2),
        unlabelled={
            "test": [
                "SN2_buildings/test/AOI_3_Paris_Test_public/RGB-PanSharpen/"
                "RGB-PanSharpen_AOI_3_Paris_img9.tif"
            ]
        },
        keys={0: "background"},
        dtype="uint16",
        georeferenced=True,
    ),
]
