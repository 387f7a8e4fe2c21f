"""From a table of settings to a classifier: sources by prefix, pools of names, one label space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nversion.core import LabelSpace, UserError, extras_named, fingerprint
from nversion.core.settings import call_with_settings
from nversion.core.values import Walk

from .base import source_of
from .card import Lineage
from .classifier import Classifier, make_classifier
from .families import guess_family
from .preprocessing import Preprocessing, read_preprocessing


@dataclass(frozen=True)
class _Common:
    name: str | None
    family: str | None
    training: str | None
    label_space: str | None
    preprocessing: dict[str, Any]
    lineage: dict[str, Any]
    outputs: Literal["logits", "probabilities"]
    repeatable: bool


_LINEAGE = ("architecture", "initial_weights", "teacher", "training_data", "seed")
_COMMON = ("name", "family", "training", "label_space", "preprocessing", "outputs", "repeatable", *_LINEAGE)
_OF_POOLS = ("names", "families", "trainings")


def _common(
    *,
    name: str | None = None,
    family: str | None = None,
    training: str | None = None,
    label_space: str | None = None,
    preprocessing: dict[str, Any] | None = None,
    architecture: str | None = None,
    initial_weights: str | None = None,
    teacher: str | None = None,
    training_data: str | list[str] | None = None,
    seed: int | None = None,
    outputs: Literal["logits", "probabilities"] = "logits",
    repeatable: bool = True,
) -> _Common:
    data = (training_data,) if isinstance(training_data, str) else tuple(training_data or ())
    lineage = Lineage(architecture or "", initial_weights or "", teacher or "", data, seed)
    stated = {key: value for key, value in asdict(lineage).items() if value not in ("", (), None)}
    return _Common(name, family, training, label_space, preprocessing or {}, stated, outputs, repeatable)


def load_classifier(spec: Mapping[str, Any], base: Path | None = None) -> Classifier:
    """Load the classifier that a table of settings describes.

    Settings of every source: `source` ("timm:resnet50", "torchvision:...", "file:PATH",
    "python:PATH_OR_MODULE:FUNCTION"), `name`, `family`, `training`, `label_space`;
    `architecture`, `initial_weights`, `teacher`, `training_data` and `seed`, its lineage; and
    `preprocessing`, a table. They replace single values of what the source knows. A source that draws
    random numbers gets the `seed` as well. `outputs` is "logits" or "probabilities", what the module gives;
    `repeatable = false` takes a classifier whose logits are not a function of the image alone. The `args` of
    a builder are part of the classifier's fingerprint.

    Args:
        spec: of one classifier; `expand_pool` makes them of pools.
        base: the folder from which relative paths start: the study file's; the working folder if None.

    Raises:
        UserError: settings, files or modules that cannot be used; each is named.

    >>> spec = {"source": "timm:mobilenetv3_small_050", "pretrained": False, "training": "untrained"}
    >>> small = load_classifier(spec)
    >>> small.name, small.card.family, round(small.card.macs / 1e6), small.card.label_space.num_classes
    ('mobilenetv3_small_050', 'NAS', 24, 1000)
    """
    settings = dict(spec)
    opener, reference = source_of(source := settings.pop("source", None))
    for key in _OF_POOLS:
        if key in settings:
            raise UserError(
                expected=f"one classifier from {source!r}",
                found=f"the setting {key!r} of a pool",
                next_step="expand the pool first, or write `name` instead",
            )
    if "num_classes" in settings and "num_classes" not in opener.settings:
        raise UserError(
            expected=f"no `num_classes` for the model {source!r}",
            found=f"num_classes = {settings['num_classes']!r}",
            next_step="the model says itself how many classes there are; name them with `label_space`",
        )
    what = f"the model {settings.get('name', source)!r}"
    common = call_with_settings(_common, {key: settings[key] for key in _COMMON if key in settings}, what)
    own = {*opener.settings} & {*_LINEAGE}
    settings = {key: value for key, value in settings.items() if key not in _COMMON or key in own}
    arguments = Walk()(settings.get("args") or {})  # now: the builder may change them
    with extras_named():
        loaded = call_with_settings(
            opener.load, settings, what, reference=reference, name=common.name, base=base or Path()
        )
    name = common.name or loaded.name
    guessed = {"family": common.family is None, "training": not common.training and loaded.training_guessed}
    return make_classifier(
        loaded.module,
        _preprocessing(loaded.preprocessing, common.preprocessing, name),
        name=name,
        source=source,
        family=common.family or guess_family(loaded.architecture or loaded.name),
        training=common.training or loaded.training,
        label_space=common.label_space or loaded.label_space,
        code=fingerprint([loaded.code, arguments]),
        outputs=common.outputs,
        repeatable=common.repeatable,
        lineage=replace(loaded.lineage, **common.lineage),
        notes=loaded.notes,
        shares_weights=opener.shares_weights,
        guessed=[fact for fact, is_guessed in guessed.items() if is_guessed],
    )


def _preprocessing(known: Preprocessing | None, settings: Mapping[str, Any], name: str) -> Preprocessing:
    if known is None and not settings:
        raise UserError(
            expected=f"the preprocessing of the model {name!r}",
            found="none",
            next_step="add `preprocessing = {input_size = ..., mean = [...], std = [...]}`: "
            "weights mean nothing without theirs",
        )
    return read_preprocessing((known.to_dict() if known else {}) | dict(settings), f"the model {name!r}")


def expand_pool(specs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One table of settings per classifier.

    `names = [...]` makes one classifier of each name. "{name}" in the source is replaced by it
    ("timm:{name}"); a source that builds by name (`python:`) needs none. `families` and `trainings`, tables
    from name to value, give `family` and `training` to single ones. `architecture`, `initial_weights`,
    `teacher`, `training_data` and `seed` are either one value for all or such a table.

    Args:
        specs: tables as the user wrote them.

    Raises:
        UserError: a name twice, a name in a table that is not in the pool, or a source that does
            not depend on the name.

    >>> [spec["source"] for spec in expand_pool([{"source": "timm:{name}", "names": ["a", "b"]}])]
    ['timm:a', 'timm:b']
    """
    expanded: list[dict[str, Any]] = []
    for spec in specs:
        expanded += _expand(spec)
    seen: dict[str, str] = {}
    for spec in expanded:
        name, source = default_name(spec), str(spec.get("source"))
        if name in seen:
            raise UserError(
                expected="each model name once in a pool",
                found=f"{name!r} from {seen[name]!r} and from {source!r}",
                next_step="give one of them another `name`",
            )
        seen[name] = source
    return expanded


def default_name(spec: Mapping[str, Any]) -> str:
    """The name of the classifier of one table of settings, before it is loaded.

    >>> default_name({"source": "file:weights/a.safetensors"})
    'a'
    """
    if spec.get("name"):
        return str(spec["name"])
    source, reference = source_of(spec.get("source"))
    return source.default_name(reference)


def _expand(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    shared = dict(spec)
    pool = call_with_settings(
        _pool, {key: shared.pop(key) for key in _OF_POOLS if key in shared}, "a pool of models"
    )
    lineages = {key: shared.pop(key) for key in _LINEAGE if isinstance(shared.get(key), Mapping)}
    if pool.names is None:
        if pool.families or pool.trainings or lineages:
            tables = " or ".join(f"`{key}`" for key in lineages) or "`families` or `trainings`"
            raise UserError(
                expected=f"`names = [...]` next to {tables}",
                found="none",
                next_step="add the names, or give one value instead of a table of them"
                if lineages
                else "add the names, or write `family` and `training`",
            )
        return [shared]
    source = str(shared.get("source", ""))
    if not pool.names:
        raise UserError(expected="at least one name in `names`", found="none", next_step="add one")
    if "name" in shared:
        raise UserError(expected="`name` or `names` of a model", found="both", next_step="remove one of them")
    opener, _ = source_of(source)
    if "{name}" not in source and not opener.takes_name:
        raise UserError(
            expected="a source that depends on the name, next to `names`",
            found=repr(source),
            next_step='write "{name}" where the name belongs, such as "timm:{name}"',
        )
    for table, values in {"families": pool.families, "trainings": pool.trainings, **lineages}.items():
        for name in values:
            if name not in pool.names:
                raise UserError(
                    expected=f"names of the pool in `{table}`",
                    found=repr(name),
                    next_step="add it to `names` or remove it",
                )
    singles = []
    for name in pool.names:
        single = shared | {"source": source.replace("{name}", name), "name": name}
        if name in pool.families:
            single["family"] = pool.families[name]
        if name in pool.trainings:
            single["training"] = pool.trainings[name]
        single |= {key: table[name] for key, table in lineages.items() if name in table}
        singles.append(single)
    return singles


@dataclass(frozen=True)
class _Pool:
    names: list[str] | None
    families: dict[str, str]
    trainings: dict[str, str]


def _pool(
    *,
    names: list[str] | None = None,
    families: dict[str, str] | None = None,
    trainings: dict[str, str] | None = None,
) -> _Pool:
    return _Pool(names, families or {}, trainings or {})


def check_label_space(classifiers: Iterable[Any], datasets: Iterable[Any]) -> LabelSpace:
    """The one label space of all classifiers and data sets of a study.

    Args:
        classifiers: with `name` and `card.label_space`.
        datasets: with `name` and `label_space`; their class names are kept.

    Raises:
        UserError: two label spaces; it names one holder of each.
    """
    holders: list[tuple[str, LabelSpace]] = [(f"the data set {d.name!r}", d.label_space) for d in datasets]
    holders += [(f"the model {c.name!r}", c.card.label_space) for c in classifiers]
    first_holder, first = holders[0]
    for holder, space in holders[1:]:
        if space != first:
            raise UserError(
                expected="one label space for all models and data sets of a study",
                found=f"{first.name!r} of {first.num_classes} classes ({first_holder}) and "
                f"{space.name!r} of {space.num_classes} classes ({holder})",
                next_step="set `num_classes` so that they agree"
                if space.name == first.name
                else "leave one out, or correct its `label_space`",
            )
    return first
