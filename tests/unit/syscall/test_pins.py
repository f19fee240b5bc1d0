"""Pins and the tree that they stand in."""

import os
from errno import (
    EACCES,
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EPERM,
)

import pytest

from skep.errors import CommandError
from skep.syscall.credentials import Credentials
from skep.syscall.objects import Kind
from skep.syscall.subsystem import Subsystem
from skep.uapi import commands
from skep.uapi.flags import MapFlag
from support.caller import EXIT, RETURN_ONE, Caller

ROOT = "/sys/fs/bpf"
NOBODY = Credentials(uid=1000, gid=1000, capabilities=frozenset())
PATH_FD = int(MapFlag.PATH_FD)


@pytest.fixture
def caller() -> Caller:
    return Caller(Subsystem(credentials=Credentials()))


def pin(caller: Caller, fd: int, path: str, **members: int) -> int:
    place = caller.keep(path.encode() + b"\0")
    return caller.call(commands.OBJ_PIN, bpf_fd=fd, pathname=place, **members)


def get(caller: Caller, path: str, **members: int) -> int:
    return caller.call(commands.OBJ_GET, pathname=caller.keep(path.encode() + b"\0"), **members)


def errno_of(call: object, *arguments: object) -> int:
    with pytest.raises(CommandError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.errno


def test_a_pin_holds_its_object_until_it_is_removed(caller: Caller) -> None:
    objects = caller.subsystem.state.objects
    for kind, fd in ((Kind.MAP, caller.map(2)), (Kind.PROG, caller.program(RETURN_ONE + EXIT))):
        path = f"{ROOT}/{kind.name}"
        assert pin(caller, fd, path) == 0
        caller.subsystem.close(fd)
        assert objects.count(kind) == 1
        again = get(caller, path)
        caller.subsystem.files.unlink(path)
        assert objects.count(kind) == 1  # the descriptor holds it
        caller.subsystem.close(again)
        assert objects.count(kind) == 0


def test_a_program_and_its_map_go_with_the_last_pin(caller: Caller) -> None:
    fd = caller.map(2)
    program = caller.program(RETURN_ONE + EXIT)
    assert caller.call(commands.PROG_BIND_MAP, prog_fd=program, map_fd=fd) == 0
    assert pin(caller, program, f"{ROOT}/program") == 0
    caller.subsystem.close(fd)
    caller.subsystem.close(program)
    objects = caller.subsystem.state.objects

    assert (objects.count(Kind.MAP), objects.count(Kind.PROG)) == (1, 1)
    caller.subsystem.files.unlink(f"{ROOT}/program")
    assert (objects.count(Kind.MAP), objects.count(Kind.PROG)) == (0, 0)


def test_pins_stand_in_mounts_of_bpffs_only(caller: Caller) -> None:
    fd = caller.map(2)

    assert pin(caller, fd, "/map") == -EPERM
    assert pin(caller, fd, "/sys/fs/map") == -EPERM
    assert pin(caller, fd, "/tmp/map") == -ENOENT
    caller.subsystem.files.mount("/run/bpf")
    assert pin(caller, fd, "/run/bpf/map") == 0
    assert [each.path for each in caller.subsystem.files.pins()] == ["/run/bpf/map"]


def test_names_with_dots_are_kept_for_bpffs(caller: Caller) -> None:
    files = caller.subsystem.files

    assert pin(caller, caller.map(2), f"{ROOT}/a.b") == -EPERM
    assert get(caller, f"{ROOT}/a.b") == -EPERM
    assert errno_of(files.make_folder, f"{ROOT}/a.b") == EPERM
    assert get(caller, "/a.b") == -ENOENT  # elsewhere dots are as good as letters
    assert get(caller, f"{ROOT}/./../bpf/none") == -ENOENT


def test_folders_are_made_listed_and_removed(caller: Caller) -> None:
    files = caller.subsystem.files
    files.make_folder(f"{ROOT}/a/b", parents=True)
    assert pin(caller, caller.map(2), f"{ROOT}/a/b/map") == 0

    assert files.names(f"{ROOT}/a") == ["b"]
    assert errno_of(files.make_folder, f"{ROOT}/a") == EEXIST
    assert errno_of(files.make_folder, f"{ROOT}/x/y") == ENOENT
    assert errno_of(files.remove_folder, f"{ROOT}/a") == ENOTEMPTY
    assert errno_of(files.remove_folder, f"{ROOT}/a/b/map") == ENOTDIR
    assert errno_of(files.remove_folder, ROOT) == EBUSY
    assert errno_of(files.unlink, f"{ROOT}/a") == EISDIR
    assert errno_of(files.unlink, f"{ROOT}/a/none") == ENOENT
    files.unlink(f"{ROOT}/a/b/map")
    files.remove_folder(f"{ROOT}/a/b")
    assert files.names(f"{ROOT}/a") == []


def test_links_lead_where_they_say(caller: Caller) -> None:
    files = caller.subsystem.files
    files.make_folder(f"{ROOT}/folder")
    files.link(f"{ROOT}/way", "folder")
    files.link(f"{ROOT}/circle", "circle")

    assert pin(caller, caller.map(2), f"{ROOT}/way/map") == 0
    assert get(caller, f"{ROOT}/folder/map") > 0
    assert get(caller, f"{ROOT}/circle") == -ELOOP
    assert pin(caller, caller.map(2), f"{ROOT}/way") == -EEXIST


def test_a_path_may_begin_at_a_descriptor_of_a_folder(caller: Caller) -> None:
    files, fd = caller.subsystem.files, caller.map(2)
    files.make_folder(f"{ROOT}/folder")
    folder = files.open_folder(f"{ROOT}/folder")

    assert pin(caller, fd, "map", file_flags=PATH_FD, path_fd=folder) == 0
    assert get(caller, "map", file_flags=PATH_FD, path_fd=folder) > 0
    assert get(caller, f"{ROOT}/folder/map", file_flags=PATH_FD, path_fd=12345) > 0
    assert get(caller, "map", path_fd=folder) == -EINVAL
    assert get(caller, "map", file_flags=PATH_FD, path_fd=fd) == -ENOTDIR
    assert get(caller, ROOT[1:] + "/folder/map", file_flags=PATH_FD, path_fd=-100) > 0


def test_what_others_pinned_needs_its_permissions(caller: Caller) -> None:
    user = Caller(caller.subsystem.as_user(NOBODY))
    assert pin(caller, caller.map(2), f"{ROOT}/map") == 0
    assert pin(caller, caller.program(RETURN_ONE + EXIT), f"{ROOT}/program") == 0

    assert get(user, f"{ROOT}/map") == -EACCES
    caller.subsystem.files.change_mode(f"{ROOT}/map", 0o644)
    assert get(user, f"{ROOT}/map") == -EACCES
    reads = get(user, f"{ROOT}/map", file_flags=int(MapFlag.RDONLY))
    assert reads > 0
    assert user.store(reads, bytes(4), bytes(8)) == -EPERM
    caller.subsystem.files.change_owner(f"{ROOT}/program", 1000, 1000)
    assert get(user, f"{ROOT}/program") > 0


def test_in_a_shared_folder_everybody_removes_his_own(caller: Caller) -> None:
    user = Caller(caller.subsystem.as_user(NOBODY))
    fd = caller.map(2)
    assert pin(caller, fd, f"{ROOT}/root") == 0
    assert pin(user, fd, f"{ROOT}/user") == 0
    files = user.subsystem.files

    assert errno_of(files.unlink, f"{ROOT}/root") == EPERM
    files.unlink(f"{ROOT}/user")
    assert errno_of(files.change_mode, f"{ROOT}/root", 0o777) == EPERM
    assert errno_of(files.change_owner, f"{ROOT}/root", 1000, 1000) == EPERM


def test_what_may_not_be_searched_hides_what_is_in_it(caller: Caller) -> None:
    caller.subsystem.files.make_folder(f"{ROOT}/mine", 0o700)
    user = Caller(caller.subsystem.as_user(NOBODY))

    assert pin(caller, caller.map(2), f"{ROOT}/mine/map") == 0
    assert get(user, f"{ROOT}/mine/map") == -EACCES
    assert errno_of(user.subsystem.files.names, f"{ROOT}/mine") == EACCES


def test_only_maps_programs_and_links_have_pins(caller: Caller) -> None:
    statistics = caller.call(commands.ENABLE_STATS)

    assert pin(caller, statistics, f"{ROOT}/it") == -EINVAL
    assert pin(caller, 0x7FFF_FFF0, f"{ROOT}/it") == -EINVAL  # and not EBADF
    read, write = os.pipe()
    assert pin(caller, read, f"{ROOT}/it") == -EINVAL
    os.close(read)
    os.close(write)
