"""A PostgreSQL of a test's own, in a folder of its own, as an ordinary user."""
import getpass
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile


def find_tools():
    """The folder of PostgreSQL's programs; None where it is not installed."""
    found = shutil.which("initdb")
    if found:
        return pathlib.Path(found).resolve().parent
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


class Postgres:
    """Runs within `with`. `folder` is where its socket is."""

    def __init__(self, tools):
        self.tools = tools
        self.place = tempfile.TemporaryDirectory(prefix="smollm3-postgres-")
        self.folder = self.place.name
        # PostgreSQL refuses to run as root.
        self.how = {"stdout": subprocess.DEVNULL, "cwd": self.folder}
        if os.geteuid() == 0:
            name = next(name for name in ("postgres", "nobody") if any(user.pw_name == name for user in pwd.getpwall()))
            self.how.update(user=name, group=pwd.getpwnam(name).pw_gid, extra_groups=[])
            shutil.chown(self.folder, name)
        os.chmod(self.folder, 0o755)
        self.data = self.folder + "/data"
        self.run("initdb", "-D", self.data, "-U", getpass.getuser(), "--auth=trust", "--no-sync", "--encoding=UTF8",
                 "--locale=C.UTF-8")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.control("-m", "immediate", "stop", check=False)
        self.place.cleanup()

    def start(self):
        self.control("-o", f"-k {self.folder} -c listen_addresses='' -c fsync=off", "start")

    def kill(self):
        """As a loss of power does to it."""
        self.control("-m", "immediate", "stop")

    def create(self, database):
        """Its address."""
        subprocess.run([self.tools / "createdb", "-h", self.folder, database], check=True)
        return f"postgresql:///{database}?host={self.folder}"

    def control(self, *arguments, check=True):
        self.run("pg_ctl", "-D", self.data, "-w", "-l", self.folder + "/log", *arguments, check=check)

    def run(self, program, *arguments, check=True):
        subprocess.run([self.tools / program, *arguments], check=check, **self.how)
