"""Everything that is said about causes in one table."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from tusi.causal import CausalTable, Knowledge
from tusi.causal.lint import Finding
from tusi.causal.panel import Interference, SimpsonCheck
from tusi.data import CausalGraph
from tusi.study.causes.between_images import BetweenImages
from tusi.study.causes.effect_maps import EffectMap
from tusi.study.causes.model import ModelOfCauses
from tusi.study.causes.options import CausesOptions
from tusi.study.causes.outlook import Outlook
from tusi.study.causes.stability import Stability
from tusi.study.causes.words import verdict_of


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class CausalAnalysis:
    """Everything that is said about causes in one table.

    Attributes
    ----------
    table
        The variables.
    knowledge
        What was known before.
    options
        What was chosen.
    meaning
        What each variable is, in words.
    findings
        Faults of the table.
    graph
        Probabilities of what holds between every two variables. Within images they are those of the exact posterior
        over acyclic graphs; arrows from a variable that is the same everywhere in an image come from the images' means
        alone; two variables that neither act on each other nor have a cause in the table are joined by a hidden
        common cause with the probability that they are related at all.
    n_effective
        Independent samples that the rows within images are worth.
    hidden
        What FCI finds, which allows for hidden common causes; stands beside `graph` and is not mixed into it.
    marks
        Its edges as it draws them.
    shapes
        What DirectLiNGAM tells from the shape of distributions; beside `graph`, too. `None` where it could not be run.
    stability
        How often FCI and DirectLiNGAM find the same again; `None` where that was not asked or could not be had.
    model
        Linear equations on the likely arrows and how they stand up; `None` where there are none.
    neighbours
        Whether likely causes act at their own site or of neighbouring ones.
    outlook
        What would separate the graphs that remain; `None` where one is left.
    between
        Effects of variables that are the same everywhere in an image.
    levels
        Slopes within images against those between them.
    maps
        Where in the images effects are strong or weak.
    notes
        What could not be had, and why.
    made
        How it was made, where a command made it: names of facts with what belongs to them.
    """

    format_name: ClassVar[str] = "causal-analysis"

    table: CausalTable
    knowledge: Knowledge
    options: CausesOptions
    meaning: Mapping[str, str]
    findings: tuple[Finding, ...]
    graph: CausalGraph
    n_effective: float
    hidden: CausalGraph
    marks: tuple[str, ...]
    between: tuple[BetweenImages, ...]
    levels: tuple[SimpsonCheck, ...]
    maps: tuple[EffectMap, ...]
    notes: tuple[str, ...]
    shapes: CausalGraph | None = None
    stability: Stability | None = None
    model: ModelOfCauses | None = None
    neighbours: tuple[Interference, ...] = ()
    outlook: Outlook | None = None
    made: tuple[tuple[str, str], ...] = ()

    @property
    def verdict(self) -> tuple[str, ...]:
        """What can be told and what cannot, in sentences, most important first."""
        return verdict_of(self)
