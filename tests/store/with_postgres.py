#!/usr/bin/env python3
"""Runs a program beside a PostgreSQL of its own, which is gone afterwards.

    with_postgres.py PROGRAM ARGUMENT …

The program finds the folder of the server's socket in SMOLLM3_TEST_POSTGRES, and PostgreSQL's own tools in its PATH.
Ends with 77 where PostgreSQL is not installed.
"""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from postgres import Postgres, find_tools  # noqa: E402


def main():
    tools = find_tools()
    if tools is None:
        print("skipped: PostgreSQL is not installed")
        sys.exit(77)
    with Postgres(tools) as postgres:
        environment = dict(os.environ, SMOLLM3_TEST_POSTGRES=postgres.folder, PATH=f"{tools}:{os.environ['PATH']}")
        result = subprocess.run(sys.argv[1:], env=environment)
    sys.exit(result.returncode)


main()
