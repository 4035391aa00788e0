#!/usr/bin/env python3
"""Runs a program beside a PostgreSQL of its own, which is gone afterwards.

    with_postgres.py PROGRAM ARGUMENT …

The program finds the folder of the server's socket in SMOLLM3_TEST_POSTGRES, and PostgreSQL's own tools in its PATH.
Ends with 77 where PostgreSQL is not installed.
"""
import getpass
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile


def find_tools():
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).parent
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def main():
    tools = find_tools()
    if tools is None:
        print("skipped: PostgreSQL is not installed")
        sys.exit(77)
    # PostgreSQL refuses to run as root.
    servant = {}
    if os.geteuid() == 0:
        name = next(name for name in ("postgres", "nobody") if any(user.pw_name == name for user in pwd.getpwall()))
        servant = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="smollm3-postgres-") as folder:
        if servant:
            shutil.chown(folder, servant["user"])
        os.chmod(folder, 0o755)
        data = folder + "/data"
        quiet = {"stdout": subprocess.DEVNULL, "cwd": folder, **servant}
        subprocess.run([tools / "initdb", "-D", data, "-U", getpass.getuser(), "--auth=trust", "--no-sync",
                        "--encoding=UTF8", "--locale=C.UTF-8"], check=True, **quiet)
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        control = [tools / "pg_ctl", "-D", data, "-w", "-l", folder + "/log"]
        subprocess.run([*control, "-o", options, "start"], check=True, **quiet)
        try:
            environment = dict(os.environ, SMOLLM3_TEST_POSTGRES=folder, PATH=f"{tools}:{os.environ['PATH']}")
            result = subprocess.run(sys.argv[1:], env=environment)
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    sys.exit(result.returncode)


main()
