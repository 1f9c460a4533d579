"""Layers of what was saved: heat maps, nuclei, outlines, masses; and of any grey OME-Zarr."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import shapely
from napari.utils import Colormap, DirectLabelColormap
from PIL import Image as Picture
from PIL import ImageDraw

from napari_pathogan.annotations.geojson import Annotation
from napari_pathogan.engine.pictures import COLOURS
from napari_pathogan.plugin.idc.layers import OUTLINE_COLOUR, heat_image, uncertainty_limits
from napari_pathogan.plugin.masses.layers import COLOURS as DECISION_COLOURS
from napari_pathogan.plugin.masses.layers import LABEL_SIZE
from napari_pathogan.plugin.masses.words import label_text, percent
from napari_pathogan.plugin.nuclei.colours import (
    FOUND_COLOUR,
    MAX_EDITABLE,
    MAX_EDITABLE_PX,
    NOTHING,
    class_colours,
    rgba,
)
from napari_pathogan.slides.geometry import Overlay
from napari_pathogan.slides.names import marked, of_image
from napari_pathogan.slides.polygons import box_corners, keyhole
from napari_pathogan.slides.resolution import um_per
from napari_pathogan.tasks.masses.review import Decision, Review

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_pathogan.engine.dicom_objects import Segments, SlideAnnotations
    from napari_pathogan.plugin.viewer.placing import Ground
    from napari_pathogan.slides.backends.ngff import Multiscale
    from napari_pathogan.tasks.idc.heatmap import HeatMap
    from napari_pathogan.tasks.masses.detections import Detections
    from napari_pathogan.tasks.masses.dicom_marks import Marks
    from napari_pathogan.tasks.masses.export import SavedBoxes
    from napari_pathogan.tasks.nuclei.export import SavedLabels
    from napari_pathogan.tasks.virtual_stain.doubt import DoubtMap
    from napari_pathogan.tasks.virtual_stain.g2c.export import SavedClasses

    LayerData = tuple[Any, dict[str, Any], str]

MAX_SHAPES = 2000  # what napari draws as shapes within seconds; more are points and a picture
MAX_PAINTED_PX = 4096**2  # of that picture
NO_CLASS_COLOUR = "#ffd400"
BELOW_COLOUR = "#8e8e93"  # of masses that score less than the threshold
REGION = "Region*"  # QuPath's own class for an outline of what was looked at
_WIDTH = 0.002  # of a line, of a heat map's longer side: two pixels where all of it is seen
_FILL = "1e"  # opacity of the inside of outlines, hexadecimal
_RINGS = {
    "face_color": "transparent",
    "border_width": 0.12,
    "opacity": 0.9,
}  # what is below is seen
_RANGE_PX = 2**24  # pixels that are looked at for the range of an image's values


def heat_map_layers(heat: HeatMap, ground: Ground) -> list[LayerData]:
    """Uncertainty (hidden), probability, and the outline at the threshold it was saved with."""
    layers: list[LayerData] = [
        (
            getattr(heat, what).data,
            {
                **heat_image(what, heat.slide),
                **ground.overlay(getattr(heat, what)),
                "metadata": {"heat_map": heat, "what": what, "threshold": heat.threshold},
            },
            "image",
        )
        for what in ("uncertainty", "probability")
    ]
    doubt = heat.uncertainty.data[heat.scored]
    layers[0][1]["contrast_limits"] = uncertainty_limits(doubt)
    rings = [ring for one in heat.outlines() for ring in (one.exterior, *one.holes)]
    if rings:
        parts = [np.stack([ring, np.roll(ring, -1, 0) - ring], 1) for ring in rings]
        kwargs = {
            "name": of_image("IDC outline", heat.slide),
            "edge_color": OUTLINE_COLOUR,
            "edge_width": _WIDTH * max(heat.probability.data.shape) * heat.probability.step[0],
            "vector_style": "line",
            "metadata": {"heat_map": heat, "threshold": heat.threshold},
            **ground.level0(),
        }
        layers.append((np.concatenate(parts), kwargs, "vectors"))
    return layers


def doubt_layers(doubt: DoubtMap, ground: Ground) -> list[LayerData]:
    """A map of where a virtual stain may be wrong."""
    low, high = doubt.usual
    kwargs = {
        "name": f"doubt by {doubt.by}: {doubt.view}",
        "colormap": over_tissue("magma", "pathogan-doubt", "doubt"),
        "contrast_limits": (low, low + 2 * max(high - low, 1e-3)),
        "opacity": 0.5,
        "interpolation2d": "nearest",
        "metadata": {"doubt_map": doubt, "synthetic": True},
        **ground.overlay(doubt.overlay),
    }
    return [(doubt.overlay.data, kwargs, "image")]


def over_tissue(colours: str, name: str, shown: str) -> Colormap:
    """Matplotlib's colours, hardly there where values are low, so that tissue is seen, dense where they are high."""
    from matplotlib import colormaps  # noqa: PLC0415  (slow to import)

    table = colormaps[colours](np.linspace(0, 1, 256))
    table[:, 3] = np.linspace(0.1, 1.0, 256)
    return Colormap(table, name=name, display_name=shown)


def class_image(what: str, last: str, slide: str) -> dict[str, Any]:
    """What the layers of classified patches look like: the last class's ``probability``, and what is ``changed``."""
    if what == "probability":
        name, colours = last, over_tissue("viridis", "pathogan-classes", "probability of a class")
    else:
        name, colours = "changed", Colormap([(0, 0, 0, 0), (1, 0, 1, 1)], name="pathogan-changed")
    return {
        "name": of_image(f"{name} by G2C", marked(slide)),
        "colormap": colours,
        "contrast_limits": (0, 1),
        "opacity": 0.5,
        "interpolation2d": "nearest",
        "visible": what == "probability",
    }


def class_layers(saved: SavedClasses, ground: Ground) -> list[LayerData]:
    """The map of classified patches, that of what virtual stains changed, and the classes (both hidden)."""
    last = saved.classes[-1]
    about = {"synthetic": True, "classes": list(saved.classes)}
    layers: list[LayerData] = [
        (
            getattr(saved, what).data,
            {
                **class_image(what, last, saved.slide),
                **ground.overlay(getattr(saved, what)),
                "metadata": about,
            },
            "image",
        )
        for what in ("probability", "changed")
    ]
    palette = [COLOURS[k % len(COLOURS)] for k in range(len(saved.classes))]
    colours: dict[int | None, Any] = {None: NO_CLASS_COLOUR, 0: "transparent"}
    colours.update(enumerate(palette, 1))
    kwargs = {
        "name": of_image("classes by G2C", marked(saved.slide)),
        "colormap": DirectLabelColormap(color_dict=colours),
        "features": pd.DataFrame({"index": range(len(palette) + 1), "class": ["", *saved.classes]}),
        "opacity": 0.5,
        "visible": False,
        "metadata": about,
        **ground.overlay(saved.decision),
    }
    return [*layers, (saved.decision.data, kwargs, "labels")]


def label_layers(saved: SavedLabels, ground: Ground) -> list[LayerData]:
    """Nuclei as labels in the colours of their classes; many of them as a picture of the classes.

    A colour an id takes napari seconds beyond some thousand ids.
    """
    about, where = saved.about, ground.overlay(saved.place)
    names = list(map(str, about.get("class_names", ())))
    palette = np.asarray([NOTHING, *map(rgba, about.get("class_colours", ()))], np.float32)
    name = of_image("Nuclei", str(about.get("slide", "")))
    kwargs: dict[str, Any] = {**where, "metadata": {"pathogan": dict(about)}}
    few = saved.labels[0].size <= MAX_EDITABLE_PX and about.get("n_nuclei", 0) <= MAX_EDITABLE
    if saved.classes and not few:
        kwargs |= {
            "name": name.replace("Nuclei", "Nuclei classes"),
            "colormap": class_colours(palette),
            "contrast_limits": (0, max(len(palette) - 1, 1)),
            "interpolation2d": "nearest",
            "multiscale": len(saved.classes) > 1,
        }
        return [(_levels(saved.classes), kwargs, "image")]
    colours: dict[int | None, Any] = {0: "transparent", None: FOUND_COLOUR}
    kwargs |= {"name": name, "opacity": 0.9}
    if few:
        labels = np.asarray(saved.labels[0])
        if saved.classes:
            ids, first = np.unique(labels, return_index=True)
            codes = np.asarray(saved.classes[0]).ravel()[first]
            codes = np.minimum(codes, len(palette) - 1)[ids > 0]
            ids = ids[ids > 0]
            colours.update(zip(ids.tolist(), palette[codes], strict=True))
            own = [names[code - 1] if 0 < code <= len(names) else "" for code in codes.tolist()]
            kwargs["features"] = pd.DataFrame({"index": [0, *ids.tolist()], "class": ["", *own]})
        kwargs["colormap"] = DirectLabelColormap(color_dict=colours)
        return [(labels, kwargs, "labels")]
    kwargs |= {
        "colormap": DirectLabelColormap(color_dict=colours),
        "multiscale": len(saved.labels) > 1,
    }
    return [(_levels(saved.labels), kwargs, "labels")]


def table_layers(table: pd.DataFrame, about: Mapping[str, Any], ground: Ground) -> list[LayerData]:
    """Nuclei of a table as rings as large as they are, with all measures as features."""
    colours = [rgba(colour) for colour in about["class_colours"]]
    codes = table["class"].cat.codes.to_numpy()
    my, mx = about["mpp"] or (1.0, 1.0)
    kwargs = {
        "name": of_image("Nuclei", about["slide"]),
        "size": 2 * np.sqrt(table["area_um2"].to_numpy() / (math.pi * my * mx)),
        "border_color": np.asarray([rgba(FOUND_COLOUR), *colours])[codes + 1],
        **_RINGS,
        "features": table.assign(**{"class": table["class"].astype(str)}),
        "metadata": {"pathogan": dict(about)},
        **ground.level0(),
    }
    if not len(table):
        del kwargs["size"], kwargs["border_color"], kwargs["features"]
    return [(table[["y_px", "x_px"]].to_numpy(), kwargs, "points")]


def outline_layers(
    features: Sequence[Annotation], about: Mapping[str, Any], name: str, ground: Ground
) -> list[LayerData]:
    """Objects of a GeoJSON file as shapes and points in the colours of their classes.

    Beyond :data:`MAX_SHAPES` shapes, what was detected (else everything) is shown as a picture of
    the classes, and a point an object.
    """
    metadata = {"pathogan": dict(about)} if about else {}
    if "threshold" in about:
        metadata["threshold"] = about["threshold"]
    drawn = [one for one in features if one.polygons or one.lines]
    dotted = [one for one in features if len(one.points)]
    many: list[Annotation] = []
    if len(drawn) > MAX_SHAPES:
        by_hand = [x for x in drawn if x.kind in ("", "annotation") or x.class_name == REGION]
        if len(by_hand) > MAX_SHAPES:
            by_hand = [x for x in drawn if x.class_name == REGION][:MAX_SHAPES]
        shown = set(map(id, by_hand))
        many, drawn = [x for x in drawn if id(x) not in shown], by_hand
    layers: list[LayerData] = []
    if many:
        layers += _picture_and_points([x for x in many if x.polygons], name, ground)
    if drawn or not (many or dotted):
        layers.append(_shapes(drawn, name, ground))
    if dotted:
        points = np.concatenate([one.points for one in dotted]) - 0.5
        rows = [one for one in dotted for _ in one.points]
        suffix = ", points" if drawn else ""
        layers.append(_points(points, rows, f"{name}{suffix}", ground))
    for _, kwargs, _ in layers:
        kwargs["metadata"] = metadata
    return layers


def mass_layers(found: Detections, ground: Ground) -> list[LayerData]:
    """Boxes with scores, and outlines; what scores less than the threshold is grey."""
    name = f"{found.name} [synthetic]" if found.synthetic else found.name
    labels = [label_text(Review.of(found), i) for i in range(len(found))]
    boxes = _boxes(
        name, found.boxes, found.scores, labels, threshold=found.threshold, ground=ground
    )
    outlines = [
        (contour if len(contour) > 2 else box_corners(box)) - 0.5
        for contour, box in zip(found.contours, found.boxes, strict=True)
    ]
    kwargs = {
        **boxes[1],
        "name": f"Masses ({name})",
        "shape_type": "polygon",
        "edge_width": 2 * boxes[1]["edge_width"],
    }
    del kwargs["text"]
    return [boxes, (outlines, kwargs, "shapes")]


def box_layers(saved: SavedBoxes, ground: Ground) -> list[LayerData]:
    """Boxes of a table of masses, with their scores."""
    name = f"{saved.name} [synthetic]" if saved.synthetic else saved.name
    labels = [percent(score) for score in saved.scores.tolist()]
    return [_boxes(name, saved.boxes, saved.scores, labels, threshold=0.0, ground=ground)]


def mark_layers(drawn: Marks, name: str, ground: Ground) -> list[LayerData]:
    """Outlines of a DICOM report or presentation state; of the latter, a layer a group."""
    layers: list[LayerData] = []
    for group in dict.fromkeys(mark.group for mark in drawn.marks) or [""]:
        marks = [mark for mark in drawn.marks if mark.group == group]
        kwargs: dict[str, Any] = {
            "name": f"{name}, {group.lower()}" if group else name,
            "ndim": 2,
            "face_color": "transparent",
            "edge_color": DECISION_COLOURS[Decision.OPEN],
            "edge_width": 2.0,
            "opacity": 1.0,
            "metadata": {"threshold": drawn.threshold},
            **ground.level0(),
        }
        if marks:
            rows = [{"label": mark.label, "class": "Mass", **mark.numbers} for mark in marks]
            kwargs |= {"shape_type": "polygon", "features": pd.DataFrame(rows)}
        layers.append(([mark.outline - 0.5 for mark in marks], kwargs, "shapes"))
    return layers


def annotation_layers(drawn: SlideAnnotations, name: str, ground: Ground) -> list[LayerData]:
    """Outlines of a DICOM annotation object, as those of GeoJSON: by classes, in their colours."""
    objects = [
        Annotation(
            shapely.Point(ring[0, ::-1]) if len(ring) == 1
            else shapely.LineString(ring[:, ::-1]) if len(ring) == 2
            else shapely.Polygon(ring[:, ::-1]),
            class_name=group.label,
            colour=group.colour or NO_CLASS_COLOUR,
            kind="detection",
            by=group.by,
            measurements={
                what: float(numbers[at])
                for what, numbers in dict(group.measurements).items()
                if math.isfinite(numbers[at])
            },
        )
        for group in drawn.groups
        for at, ring in enumerate(group.outlines)
    ]  # fmt: skip
    return outline_layers(objects, {}, name, ground)


def segment_layers(segments: Segments, name: str, ground: Ground) -> list[LayerData]:
    """The segments of a DICOM segmentation, each a picture; only the first is shown where it is a share."""
    step = (1e3 * segments.place.spacing[0], 1e3 * segments.place.spacing[1])
    layers: list[LayerData] = []
    for number, (what, plane) in enumerate(zip(segments.names, segments.planes, strict=True)):
        kwargs = {
            "name": f"{what} ({name})",
            "colormap": ("magma", "cyan", "green", "yellow")[number % 4],
            "contrast_limits": (0, 1),
            "opacity": 0.5,
            "interpolation2d": "nearest",
            "visible": number == 0 or plane.dtype.kind != "f",
            **ground.overlay(Overlay(plane, (0.0, 0.0), step)),
        }
        layers.append((plane, kwargs, "image"))
    return layers[::-1]


def multiscale_layer(image: Multiscale, name: str) -> LayerData:
    """Any grey OME-Zarr image: over its own range of values; whole numbers of 32 bits as labels."""
    dtype = image.levels[0].dtype
    labels = dtype.kind in "iu" and dtype.itemsize >= 4
    scale, translate = list(image.scale), list(image.translate)
    units = ["pixel"] * len(image.axes)
    for at, axis in enumerate(image.axes):
        factor = um_per(str(image.units[at]))
        if axis in "yx" and factor is not None:
            scale[at], translate[at], units[at] = scale[at] * factor, translate[at] * factor, "um"
    kwargs: dict[str, Any] = {
        "name": name,
        "scale": scale,
        "translate": translate,
        "units": units,
        "axis_labels": tuple(image.axes),
        "multiscale": len(image.levels) > 1,
    }
    if not labels:
        kwargs |= {"rgb": False, "contrast_limits": _range(image.levels[-1])}
    return _levels(image.levels), kwargs, "labels" if labels else "image"


def _levels(levels: Sequence[Any]) -> Any:  # noqa: ANN401 - an array, or several
    return list(levels) if len(levels) > 1 else levels[0]


def _range(level: Any) -> tuple[float, float]:  # noqa: ANN401 - zarr
    """Least and greatest finite value, apart; of every n-th pixel where there are very many."""
    every = math.ceil(math.sqrt(max(1.0, level.size / _RANGE_PX)))
    values = np.asarray(level[..., ::every, ::every])
    if values.dtype == np.uint8:
        return 0.0, 255.0
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    return low, high if high > low else low + 1.0


def _shapes(features: Sequence[Annotation], name: str, ground: Ground) -> LayerData:
    """Each polygon a shape, its holes cut out; each line a path."""
    data, kinds, rows = [], [], []
    for one in features:
        parts = [(keyhole(rings), "polygon") for rings in one.polygons]
        for corners, kind in (*parts, *((line, "path") for line in one.lines)):
            data.append(corners - 0.5)
            kinds.append(kind)
            rows.append(one)
    colours = [one.colour or NO_CLASS_COLOUR for one in rows]
    faces = [f"{c}{'00' if one.class_name == REGION else _FILL}"
             for c, one in zip(colours, rows, strict=True)]  # fmt: skip
    sizes = [float(np.ptp(corners, 0).max()) for corners in data]
    kwargs: dict[str, Any] = {"name": name, "ndim": 2, "opacity": 1.0, **ground.level0()}
    if data:
        kwargs |= {
            "shape_type": kinds,
            "edge_color": colours,
            "face_color": faces,
            "edge_width": max(1.0, float(np.median(sizes)) / 400),
            "features": _features(rows),
        }
    return data, kwargs, "shapes"


def _points(
    points: np.ndarray,
    rows: Sequence[Annotation],
    name: str,
    ground: Ground,
    size: Any = 20.0,  # noqa: ANN401
) -> LayerData:
    kwargs = {
        "name": name,
        "size": size,
        "border_color": [one.colour or NO_CLASS_COLOUR for one in rows],
        **_RINGS,
        "features": _features(rows),
        **ground.level0(),
    }
    return points, kwargs, "points"


def _features(rows: Sequence[Annotation]) -> pd.DataFrame:
    """Names, classes and measurements, a row a shape."""
    listed = [
        {"class": x.class_name, "name": x.name, "kind": x.kind, "part": x.part, **x.measurements}
        for x in rows
    ]
    table = pd.DataFrame(listed)
    return table.drop(columns=[c for c in ("kind", "part") if not table[c].any()])


def _picture_and_points(
    features: Sequence[Annotation], name: str, ground: Ground
) -> list[LayerData]:
    """Very many objects: the classes of pixels as a picture, and a point an object."""
    classes = {(one.class_name, one.colour or NO_CLASS_COLOUR): 0 for one in features}
    codes = {one: min(code, 255) for code, one in enumerate(classes, 1)}
    palette = np.asarray([NOTHING, *(rgba(colour) for _, colour in codes)][:256], np.float32)
    outer = [np.concatenate([rings[0] for rings in one.polygons]) for one in features]
    low = np.array([corners.min(0) for corners in outer])
    high = np.array([corners.max(0) for corners in outer])
    origin, end = np.floor(low.min(0)), np.ceil(high.max(0))
    step = max(1.0, math.sqrt(float(np.prod(end - origin)) / MAX_PAINTED_PX))
    height, width = np.ceil((end - origin) / step).astype(int).tolist()
    picture = Picture.new("L", (max(width, 1), max(height, 1)))
    draw = ImageDraw.Draw(picture)
    for one in features:
        code = codes[one.class_name, one.colour or NO_CLASS_COLOUR]
        for rings in one.polygons:
            for number, ring in enumerate(rings):
                corners = (ring - origin) / step - 0.5
                draw.polygon(corners[:, ::-1].ravel().tolist(), fill=0 if number else code)
    overlay = Overlay(np.asarray(picture), (float(origin[0]), float(origin[1])), (step, step))
    kwargs = {
        "name": f"{name}, classes",
        "colormap": class_colours(palette),
        "contrast_limits": (0, len(palette) - 1),
        "interpolation2d": "nearest",
        "opacity": 0.6,
        **ground.overlay(overlay),
    }
    sizes = np.sqrt(np.prod(high - low, 1))
    centres = (low + high) / 2 - 0.5
    return [
        (overlay.data, kwargs, "image"),
        _points(centres, features, name, ground, np.maximum(sizes, 1.0)),
    ]


def _boxes(
    image: str,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: Sequence[str],
    *,
    threshold: float,
    ground: Ground,
) -> LayerData:
    above = np.asarray(scores) >= threshold
    mirrored = ground.layer is not None and float(ground.layer.scale[1]) < 0
    kwargs: dict[str, Any] = {
        "name": f"Mass boxes ({image})",
        "ndim": 2,
        "face_color": "transparent",
        "opacity": 1.0,
        "text": {
            "string": "{label}",
            "size": LABEL_SIZE,
            "color": "#ffffff",
            "anchor": "upper_right" if mirrored else "upper_left",
        },
        "features": pd.DataFrame(
            {
                "label": list(labels),
                "class": "Mass",
                "score": np.asarray(scores, float),
            }
        ),
        "metadata": {"threshold": threshold},
        "edge_width": 2.0,
        **ground.level0(),
    }
    if len(boxes):
        usual = DECISION_COLOURS[Decision.OPEN]
        kwargs["edge_color"] = [usual if held else BELOW_COLOUR for held in above]
        kwargs["shape_type"] = "rectangle"
    return [box_corners(box) - 0.5 for box in boxes], kwargs, "shapes"
