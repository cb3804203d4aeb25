"""Parameters that become options of the command as they are: each is told once, here and there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Option:
    """One parameter of a dialog, and the option that it becomes."""

    name: str
    """Of the parameter."""

    option: str
    """Of the command, such as `--window`."""

    title: str
    """What the dialog shows."""

    def definition(self) -> Any:
        """The parameter, for QGIS."""
        raise NotImplementedError

    def value(self, algorithm: Any, parameters: Parameters, context: Any) -> object:
        """What the command gets; None for nothing, so that its own default holds."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text(Option):
    """A line of text."""

    default: Optional[str] = None  # noqa: UP045 - QGIS 3.22 may come with Python 3.9
    """What stands there at first."""

    optional: bool = True
    """Whether it may be empty."""

    def definition(self) -> Any:
        """The parameter, for QGIS."""
        return QgsProcessingParameterString(
            self.name, self.title, defaultValue=self.default, optional=self.optional
        )

    def value(self, algorithm: Any, parameters: Parameters, context: Any) -> object:
        """The text."""
        return algorithm.parameterAsString(parameters, self.name, context)


@dataclass(frozen=True)
class Number(Option):
    """A number; None as default leaves it to the command or the model."""

    default: Optional[float] = None  # noqa: UP045 - as above
    """What stands there at first; its type is that of the number, that of `least` where None."""

    least: float = 0
    """The smallest that can be given."""

    most: Optional[float] = None  # noqa: UP045 - as above
    """The largest that can be given."""

    off: Optional[float] = None  # noqa: UP045 - as above
    """The number that stands for not at all: then the option is left out."""

    def definition(self) -> Any:
        """The parameter, for QGIS."""
        kinds = QgsProcessingParameterNumber.Type
        limits = {"minValue": self.least}
        if self.most is not None:
            limits["maxValue"] = self.most
        return QgsProcessingParameterNumber(
            self.name,
            self.title,
            kinds.Integer if self._is_whole else kinds.Double,
            defaultValue=self.default,
            optional=self.default is None,
            **limits,
        )

    def value(self, algorithm: Any, parameters: Parameters, context: Any) -> object:
        """The number."""
        if self.default is None and parameters.get(self.name) is None:
            return None
        read = algorithm.parameterAsInt if self._is_whole else algorithm.parameterAsDouble
        number = read(parameters, self.name, context)
        return None if number == self.off else number

    @property
    def _is_whole(self) -> bool:
        return isinstance(self.least if self.default is None else self.default, int)


@dataclass(frozen=True)
class Choice(Option):
    """One of several words, the first of them at first."""

    words: Sequence[str] = ()
    """Those that the command takes."""

    def definition(self) -> Any:
        """The parameter, for QGIS."""
        return QgsProcessingParameterEnum(self.name, self.title, list(self.words), defaultValue=0)

    def value(self, algorithm: Any, parameters: Parameters, context: Any) -> object:
        """The word."""
        return self.words[algorithm.parameterAsEnum(parameters, self.name, context)]


@dataclass(frozen=True)
class Switch(Option):
    """Something that is done or not; not at first."""

    def definition(self) -> Any:
        """The parameter, for QGIS."""
        return QgsProcessingParameterBoolean(self.name, self.title, defaultValue=False)

    def value(self, algorithm: Any, parameters: Parameters, context: Any) -> object:
        """Whether it is done."""
        return algorithm.parameterAsBool(parameters, self.name, context)


def definitions(options: Sequence[Option]) -> list[Any]:
    """The parameters of several options, for QGIS."""
    return [option.definition() for option in options]


def given(
    options: Sequence[Option], algorithm: Any, parameters: Parameters, context: Any
) -> dict[str, object]:
    """What the command gets of several options."""
    return {each.option: each.value(algorithm, parameters, context) for each in options}
