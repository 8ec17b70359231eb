"""Graphs for other programs: networkx, and the text formats that dowhy and drawing programs read."""

import importlib
import re
from typing import Any

import numpy as np

from tusi.causal.structural.model import StructuralModel
from tusi.causal.structural.structure import Structure
from tusi.data import CausalGraph
from tusi.errors import InputError

Exported = CausalGraph | Structure | StructuralModel
"""What can be exported."""

_HIDDEN = 'observed "no"'
_KEYWORDS = {"node", "edge", "graph", "digraph", "subgraph", "strict"}


def to_networkx(graph: Exported, *, threshold: float = 0.5) -> Any:
    """Return a graph as `networkx.DiGraph`, which must be installed.

    Edges carry `probability`. A hidden common cause becomes a node with `observed = False` and arrows to both.

    Parameters
    ----------
    graph
        What is exported.
    threshold
        Least probability of an edge of a `CausalGraph`; undecided pairs are left out, since every edge of a `DiGraph`
        has a direction.

    Raises
    ------
    InputError
        networkx is not installed.

    Examples
    --------
    >>> to_networkx(Structure.of([("x", "y")], names=("x", "y")))  # doctest: +SKIP
    <networkx.classes.digraph.DiGraph object at 0x...>
    """
    try:
        networkx = importlib.import_module("networkx")
    except ImportError:
        raise InputError(
            "graph", expected="networkx, which is not installed, to export to", got="no module networkx",
            then="Install it with: pip install networkx",
        ) from None  # fmt: skip
    nodes, edges = _parts(graph, threshold)
    out = networkx.DiGraph()
    for name, observed in nodes:
        out.add_node(name, observed=observed)
    for cause, effect, probability in edges:
        out.add_edge(cause, effect, probability=probability)
    return out


def to_dot(graph: Exported, *, threshold: float = 0.5) -> str:
    """Return a graph in the DOT language, as `dowhy.CausalModel(graph=...)` and Graphviz read it.

    Parameters
    ----------
    graph
        What is exported.
    threshold
        Least probability of an edge of a `CausalGraph`.

    Examples
    --------
    >>> print(to_dot(Structure.of([("x", "unit cell")], names=("x", "unit cell"))))
    digraph {
      x;
      "unit cell";
      x -> "unit cell" [probability=1];
    }
    """
    nodes, edges = _parts(graph, threshold)
    lines = [f"  {_quoted(name)}{_mark(observed, '[observed=no]')};" for name, observed in nodes]
    lines += [f"  {_quoted(a)} -> {_quoted(b)} [probability={probability:.4g}];" for a, b, probability in edges]
    return "\n".join(["digraph {", *lines, "}"])


def to_gml(graph: Exported, *, threshold: float = 0.5) -> str:
    """Return a graph in GML, as `dowhy.CausalModel(graph=...)` and `networkx.parse_gml` read it.

    Parameters
    ----------
    graph
        What is exported.
    threshold
        Least probability of an edge of a `CausalGraph`.

    Examples
    --------
    >>> print(to_gml(Structure.of([("x", "y")], names=("x", "y"))))
    graph [
      directed 1
      node [ id 0 label "x" ]
      node [ id 1 label "y" ]
      edge [ source 0 target 1 probability 1.0 ]
    ]
    """
    nodes, edges = _parts(graph, threshold)
    number = {name: k for k, (name, _) in enumerate(nodes)}
    lines = [
        f'  node [ id {number[name]} label "{_escaped(name)}"{_mark(observed, _HIDDEN)} ]' for name, observed in nodes
    ]
    lines += [
        f"  edge [ source {number[a]} target {number[b]} probability {float(f'{probability:.4g}')} ]"
        for a, b, probability in edges
    ]
    return "\n".join(["graph [", "  directed 1", *lines, "]"])


def _parts(graph: Exported, threshold: float) -> tuple[list[tuple[str, bool]], list[tuple[str, str, float]]]:
    """Return nodes, each with whether it was observed, and edges, each with its probability."""
    if isinstance(graph, StructuralModel):
        graph = graph.structure
    nodes = [(name, True) for name in graph.names]
    if isinstance(graph, Structure):
        return nodes, [(cause, effect, 1.0) for cause, effect in graph.edges]
    edges = [(graph.names[i], graph.names[j], float(graph.acts[i, j])) for i, j in np.argwhere(graph.acts >= threshold)]
    for i, j in np.argwhere(np.triu(graph.confounded, 1) >= threshold):
        hidden = f"hidden cause of {graph.names[i]} and {graph.names[j]}"
        nodes.append((hidden, False))
        edges += [(hidden, graph.names[k], float(graph.confounded[i, j])) for k in (i, j)]
    return nodes, edges


def _mark(observed: bool, mark: str) -> str:
    return "" if observed else f" {mark}"


def _quoted(name: str) -> str:
    """Return a name as DOT has it: in quotes where it is more than one word."""
    if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) and name.lower() not in _KEYWORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(name: str) -> str:
    """Return a name as GML has it, which knows ASCII alone and no quotes within quotes."""
    plain = name.replace("&", "&amp;").replace('"', "&#34;")
    return plain.encode("ascii", "xmlcharrefreplace").decode()
