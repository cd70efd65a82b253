"""Micro-batches side by side: the same clips in the same order, none too far ahead, left when nobody waits."""

import itertools
import threading
import time
from dataclasses import replace

import pytest
import torch

from mediadiff import build
from mediadiff.errors import ClipError, UsageError
from mediadiff.rendering import generator as generators
from mediadiff.rendering.abreast import Left, abreast
from mediadiff.rendering.generator import Generator
from tests.rendering.test_generator import values
from tests.tiny import BOTH, SOUND, tiny_model


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_results_come_in_order_whichever_is_first_done(at_once):
    def slow_if_even(item, check):
        time.sleep(0.02 * (item % 2 == 0))
        return item

    assert list(abreast(slow_if_even, range(11), at_once)) == list(range(11))
    assert list(abreast(slow_if_even, [], at_once)) == []


@pytest.mark.parametrize("at_once", [1, 3])
def test_endless_items_are_taken_no_further_than_those_at_work(at_once):
    taken = itertools.count()
    results = abreast(lambda item, check: item, taken, at_once)
    assert [next(results), next(results)] == [0, 1]
    # Two are handed on, and in threads as many as work are ahead.
    assert next(taken) == (2 if at_once == 1 else 2 + at_once)
    results.close()


def test_work_is_done_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    names = list(abreast(lambda item, check: meeting.wait() * 0 + threading.get_ident(), range(4), 2))
    assert len(set(names)) == 2 and threading.get_ident() not in names


@pytest.mark.parametrize("end", ["closed", "error"])
def test_what_is_at_work_when_nobody_waits_any_more_is_left_and_the_rest_not_begun(end):
    begun, told = [], []

    def work(item, check):
        begun.append(item)
        if item == 0:
            return item
        if item == 1 and end == "error":
            raise UsageError("no")
        try:
            while True:
                check()
                time.sleep(0.001)
        except Left:
            told.append(item)
            raise

    results = abreast(work, range(100), 2)
    assert next(results) == 0
    if end == "error":
        with pytest.raises(UsageError, match="no"):
            next(results)
    results.close()
    assert len(begun) <= 4 and told and sorted(told + [0] + [1] * (end == "error")) == sorted(begun)


@pytest.fixture(scope="module", params=[SOUND, BOTH], ids=["sound", "both"])
def model(request, tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model"), request.param)


def arrays(clip):
    return [x for x in (clip.sound and clip.sound.samples, clip.picture and clip.picture.frames) if x is not None]


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "euler_a"])
def test_a_clip_has_the_same_bits_in_one_thread_and_beside_others(model, sampler, monkeypatch):
    asked = {"num": 21, "label": ["a", "b"], "sampler": sampler, "guidance": 2.0}
    found, ran = {}, {}
    for processors in (1, 2, 4):
        threads = ran[processors] = set()

        def noted(self, *args, threads=threads, whole=Generator.encoded):
            threads.add(threading.get_ident())
            return whole(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(generators, "processors", lambda processors=processors: processors)
            patch.setattr(Generator, "encoded", noted)
            found[processors] = list(model.render(**asked))
    assert ran[1] == {threading.get_ident()} and len(ran[2]) == 2 and len(ran[4]) >= 3
    for clips in (found[2], found[4]):
        for one, other in zip(found[1], clips, strict=True):
            assert one.label == other.label
            assert all((a == b).all() for a, b in zip(arrays(one), arrays(other), strict=True))


def test_files_and_their_order_are_the_same(model, tmp_path, monkeypatch):
    made = {}
    for processors in (1, 3):
        monkeypatch.setattr(generators, "processors", lambda processors=processors: processors)
        told = []
        made[processors] = build.render(model, tmp_path / str(processors), num=14, label="a", report=told.append)
        assert [event["done"] for event in told if event["event"] == "clip"] == list(range(1, 15))
    assert made[1]["files"] == made[3]["files"] and made[1]["done"] == 14
    for name in made[1]["files"]:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "3" / name).read_bytes()


def test_the_network_is_left_at_its_next_evaluation(model):
    calls = itertools.count()

    def check():
        if next(calls) == 2:
            raise Left

    leaving = replace(model.generator, check=check)
    with pytest.raises(Left):
        list(leaving.attempts(model.requests(), model.seconds, model.sampling(steps=8)))
    assert next(calls) == 3


def test_the_threads_of_torch_stay_as_they_were(model, monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(generators, "processors", lambda: 3)
    torch.set_num_threads(2)
    try:
        clips = model.render(num=20)
        next(clips)
        assert torch.get_num_threads() == 2
        clips.close()
        found = []
        later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert found == [2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_bad_clip_raises_where_it_is_reached(model, monkeypatch):
    monkeypatch.setattr(generators, "processors", lambda: 2)
    whole = Generator.encoded

    def poisoned(self, rows, *args):
        out = whole(self, rows, *args)
        for row, x in zip(rows, out, strict=True):
            if row.request.index == 6:
                x["sound"][0, 3] = torch.nan
        return out

    monkeypatch.setattr(Generator, "encoded", poisoned)
    clips = model.render(num=12)
    assert [values(next(clips)).size > 0 for _ in range(6)] == [True] * 6
    with pytest.raises(ClipError, match="not finite"):
        next(clips)
