"""What a rule's attributes are: their kinds, their defaults, and those that every rule has."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from lamina.core.classes import dataclass


class Kind(Enum):
    """The type of an attribute; the value says it to people."""

    STRING = "a string"
    INTEGER = "an integer"
    BOOLEAN = "True or False"
    STRING_LIST = "a list of strings"
    INTEGER_LIST = "a list of integers"
    STRING_DICT = "a dict of strings"
    LIST_DICT = "a dict of lists of strings"
    LABEL = "a label"
    LABEL_LIST = "a list of labels"
    LABEL_DICT = "a dict of label to string"
    OUTPUTS = "a list of files, or a dict of name to files"
    SOURCE = "a file or label"
    SOURCES = "a list of files or labels, or a dict of path to file"
    FLAGGED_SOURCES = "a list of files, labels or pairs of file and flags, or a dict"
    ANY = "anything"  # accepted and ignored


_EMPTY: Mapping[Kind, object] = {
    Kind.STRING: "",
    Kind.INTEGER: 0,
    Kind.BOOLEAN: False,
    Kind.STRING_LIST: (),
    Kind.INTEGER_LIST: (),
    Kind.STRING_DICT: (),
    Kind.LIST_DICT: (),
    Kind.LABEL: None,
    Kind.LABEL_LIST: (),
    Kind.LABEL_DICT: (),
    Kind.OUTPUTS: (),
    Kind.SOURCE: None,
    Kind.SOURCES: (),
    Kind.FLAGGED_SOURCES: (),
    Kind.ANY: None,
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a rule; the default is written as in a BUILD file."""

    kind: Kind
    default: object = None  # None: the kind's empty value
    required: bool = False
    doc: str = ""

    @property
    def empty(self) -> object:
        """The value of the kind when nothing is given: "", 0, False, () or None."""
        return _EMPTY[self.kind]


COMMON: Mapping[str, Attribute] = MappingProxyType(
    {
        "name": Attribute(Kind.STRING, required=True, doc="name of the target"),
        "visibility": Attribute(Kind.STRING_LIST, doc="who may depend on it"),
        "tags": Attribute(Kind.STRING_LIST, doc="free words to filter by"),
        "testonly": Attribute(Kind.BOOLEAN, doc="only tests may depend on it"),
        "deprecation": Attribute(Kind.STRING, doc="what to use in its place"),
        "base_image": Attribute(
            Kind.LABEL, doc="a `base_image` whose layers are the root file system of its package"
        ),
        "licenses": Attribute(Kind.ANY),
        "features": Attribute(Kind.STRING_LIST),
        "toolchains": Attribute(Kind.ANY),
        "compatible_with": Attribute(Kind.ANY),
        "target_compatible_with": Attribute(
            Kind.LABEL_LIST, doc="constraints that the platform must have"
        ),
        "exec_compatible_with": Attribute(Kind.ANY),
        "restricted_to": Attribute(Kind.ANY),
        "contacts": Attribute(Kind.ANY),
        "exec_properties": Attribute(Kind.ANY),
    }
)

COMMON_ALIASES: Mapping[str, str] = MappingProxyType({"labels": "tags"})
