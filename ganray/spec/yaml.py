"""YAML from strangers: no tags that build objects, no aliases that unfold without end."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

LARGEST = 256 * 1024  # characters of a text; its parser takes seconds for that many
MOST_VALUES = 100_000  # that a text may stand for, aliases unfolded


class RefusedYamlError(YAMLError):
    """The text may be YAML, but reading it could take the machine's time or memory."""


def read_yaml(text: str) -> Any:
    """The value of one YAML document, in plain types.

    Raises:
        RefusedYamlError: it is too large, unfolds to too much, or is nested too deeply.
        YAMLError: it is no YAML, or has a tag that is not one of YAML's own plain ones.
    """
    if len(text) > LARGEST:
        raise RefusedYamlError(f"has {len(text):,} characters; at most {LARGEST:,} are read")
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        if node is None:
            return None
        # before anything is made of it: a merge key copies what its aliases stand for
        if _size(node, {}) > MOST_VALUES:
            raise RefusedYamlError(
                f"its aliases stand for more than {MOST_VALUES:,} values; write out what is meant"
            )
        return yaml.constructor.construct_document(node)
    except RecursionError:
        raise RefusedYamlError("is nested too deeply") from None


def _size(node: Node, known: dict[int, float]) -> float:
    """How many values a node stands for; without end if it holds itself."""
    if id(node) not in known:
        known[id(node)] = float("inf")  # until it is known: an alias of what it is in has no end
        known[id(node)] = 1 + sum(_size(inner, known) for inner in _inside(node))
    return known[id(node)]


def _inside(node: Node) -> list[Node]:
    if isinstance(node, MappingNode):
        return [side for pair in node.value for side in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []
