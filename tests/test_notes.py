"""Warnings are noted where they belong, though several threads are at work."""

from __future__ import annotations

import threading
import warnings

import pytest

from napari_deconv.recipe.notes import noted


@pytest.fixture
def shown():
    """The texts that are shown."""
    texts = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: texts.append(str(message))
        yield texts


def warn(text):
    warnings.warn(text, UserWarning, stacklevel=1)


def in_a_thread(function, *arguments):
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


def test_each_is_shown_once(shown):
    show = warnings.showwarning
    for text in ("one", "one", "two"):
        with noted() as notes:
            warn(text)
            warn(text)
        assert notes == [text]
    assert shown == ["one", "one", "two"]
    assert warnings.showwarning is show


def test_those_of_other_threads_belong_to_a_block_that_runs_alone(shown):
    of_another = []

    def another():
        with noted() as notes:
            warn("mine")
            in_a_thread(warn, "whose")
        of_another.extend(notes)

    with noted() as notes:
        in_a_thread(warn, "a worker's")
        in_a_thread(another)
        in_a_thread(warn, "another worker's")
    assert notes == ["a worker's", "another worker's"]
    assert of_another == ["mine"]
    assert shown == ["a worker's", "mine", "whose", "another worker's"]
