"""Sizes of models for tests, of which each model takes those that it has."""

from minivae import models


def sized(name, **sizes):
    """Those of these options that the function of a model has: a width for one, planes for another."""
    return {key: value for key, value in sizes.items() if key in models.find(name).parameters}


def built(name, options=None, **sizes):
    """A model with these options, and those of these sizes that it has and the options do not say."""
    return models.build(name, **sized(name, **sizes) | (options or {}))
