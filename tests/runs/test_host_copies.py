"""Copies in host memory hold what the tensors had, and only what has changed is copied again."""

import torch

from wan.runs.host_copies import HostCopies


def test_copies_hold_what_the_tensors_had():
    plain, across = torch.arange(6.0), torch.arange(6).reshape(2, 3).T
    copies = HostCopies().of([plain, across])
    plain += 1

    assert copies[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert copies[1].is_contiguous() and copies[1].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_an_unchanged_tensor_keeps_its_copy():
    host, kept = HostCopies(), torch.ones(3)
    (first,) = host.of([kept])
    first[0] = 7.0  # a mark: copying again would wipe it out
    other, again = host.of([torch.zeros(3), kept])

    assert again is first and again.tolist() == [7, 1, 1]
    assert other.tolist() == [0, 0, 0]


def test_a_tensor_that_changed_in_place_is_copied_again():
    host, changing = HostCopies(), torch.ones(4)
    host.of([changing])
    changing[1:3].zero_()  # through a view

    assert host.of([changing])[0].tolist() == [1, 0, 0, 1]


def test_memory_of_what_is_gone_is_used_again_for_the_same_shape_and_dtype_only():
    host, new = HostCopies(), torch.full((4,), 2.0)
    (old,) = host.of([torch.zeros(4)])
    place = old.data_ptr()
    wider, narrow, same = host.of([torch.zeros(5), torch.zeros(4, dtype=torch.float16), new])

    assert same.data_ptr() == place and same.tolist() == [2, 2, 2, 2]
    assert wider.data_ptr() != place and narrow.data_ptr() != place


def test_two_tensors_never_share_a_copy():
    host = HostCopies()
    host.of([torch.zeros(2)])
    copies = host.of([torch.full((2,), 1.0), torch.full((2,), 2.0)])

    assert [copy.tolist() for copy in copies] == [[1, 1], [2, 2]]
