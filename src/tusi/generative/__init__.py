"""Generative models: which Hamiltonian would arrange the atoms as the images show them."""

from tusi.generative.results import HamiltonianComparison, HamiltonianFit, NestedTest

__all__ = ["HamiltonianComparison", "HamiltonianFit", "NestedTest"]
