"""Do what the Dockerfile says without an engine: `make image-steps`, as root on Linux.

Its RUN lines are run as they stand, in a mount namespace in which `/opt`, `/src`, `/etc` and
`/var/lib` are folders of this script's, by this machine's Python instead of the base image's. Then
docmill is started as the image would start it: as its user, without rights, on a root that is
read-only, with `/tmp` and `/var/lib/docmill` to write to. A key is made, a document is sent and
found, and what the health check and `docmill doctor` say is shown.

What only an engine can show stays open: the base image, layers, sizes, its seccomp profile.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON_AT = "/mnt"
INSIDE = "--inside"
READY_SECONDS = 90
SAMPLE = "/opt/docmill/lib/*/site-packages/docmill/sample/how-docmill-works.pdf"


def main() -> int:
    """Begin in a mount namespace of one's own."""
    if INSIDE in sys.argv:
        return inside(Path(sys.argv[-1]))
    if os.geteuid() != 0:
        sys.exit("This takes root: it mounts folders, in a namespace of its own.")
    with tempfile.TemporaryDirectory(prefix="docmill-image-") as scratch:
        Path(scratch).chmod(0o755)
        script = str(Path(__file__).absolute())
        return subprocess.call(["unshare", "--mount", sys.executable, script, INSIDE, scratch])


def inside(scratch: Path) -> int:
    """Both stages, then the container."""
    base = Path(sys.base_prefix)
    if base.is_relative_to(Path.home()):
        show_alone(base, Path.home())
    environment = {"PATH": f"{base}/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(Path.home())}
    build, final = stages()
    for folder in ("opt", "src"):
        bind(made(scratch / "build" / folder), f"/{folder}")
    do(build, dict(environment), scratch)
    for folder in ("opt", "var/lib", "etc"):
        kept = made(scratch / "final" / folder)
        if folder == "etc":
            shutil.copytree("/etc", kept, dirs_exist_ok=True, symlinks=True)
        bind(kept, f"/{folder}")
    container = do(final, dict(environment), scratch)
    return start(container)


def show_alone(base: Path, home: Path) -> None:
    """Leave nothing in a home but Python, which others can read then as in a base image."""
    bind(base, PYTHON_AT)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", home], check=True)
    base.mkdir(parents=True)
    bind(Path(PYTHON_AT), str(base))


def bind(folder: Path, place: str) -> None:
    """Show a folder at a place, in this namespace alone."""
    Path(place).mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", folder, place], check=True)


def made(folder: Path) -> Path:
    """A new folder."""
    folder.mkdir(parents=True)
    return folder


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages, each as its instructions."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[tuple[str, str]]] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        elif found:
            found[-1].append((word, rest.strip()))
    return found


def do(stage: list[tuple[str, str]], env: dict[str, str], scratch: Path) -> dict[str, str]:
    """Follow the instructions; the environment, and what is only for the start."""
    here, user = "/", "0:0"
    for word, rest in stage:
        print(f"{word} {rest}", flush=True)
        match word:
            case "RUN":
                began = time.monotonic()
                subprocess.run(["sh", "-c", rest], cwd=here, env=env, check=True)
                print(f"  {time.monotonic() - began:.0f} s")
            case "ENV":
                env |= {name: expanded(text, env) for name, text in pairs(rest)}
            case "WORKDIR":
                here = rest
            case "COPY":
                copy(rest.split(), here, scratch)
            case "USER":
                user = rest
            case "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                env[f"({word})"] = re.sub(r"^.*?\[", "[", rest)
            case "VOLUME" | "EXPOSE":
                pass
            case _:
                sys.exit(f"this script does not know {word}")
    return {**env, "(USER)": user}


def pairs(text: str) -> Iterator[tuple[str, str]]:
    for word in shlex.split(text):
        name, _, value = word.partition("=")
        yield name, value


def expanded(text: str, env: dict[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: env[found[1]], text)


def copy(words: list[str], here: str, scratch: Path) -> None:
    """Copy from the repository, or from the stage before."""
    origin = scratch / "build" if words[0] == "--from=build" else ROOT
    names = words[1:-1] if words[0].startswith("--") else words[:-1]
    for name in names:
        place = Path(here, words[-1])
        if words[-1].endswith("/"):
            place /= Path(name).name
        subprocess.run(["cp", "-a", f"{origin}/{name.lstrip('/')}", place], check=True)


def start(container: dict[str, str]) -> int:
    """Start docmill as an engine would, use it, and end it."""
    for command in (
        ["mount", "-t", "tmpfs", "none", "/tmp"],
        ["mount", "-o", "remount,ro,bind", "/"],
    ):
        subprocess.run(command, check=True)
    env = {name: text for name, text in container.items() if not name.startswith("(")}
    with socket.create_server(("127.0.0.1", 0)) as free:
        env["DOCMILL_PORT"] = str(free.getsockname()[1])
    env["HOME"] = "/var/lib/docmill"
    uid, gid = container["(USER)"].split(":")
    user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
    user += ["--bounding-set=-all", "--inh-caps=-all"]

    def said(*command: str, **more: str) -> str:
        done = subprocess.run(
            [*user, *command], env=env | more, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        print(f"$ {shlex.join(command)}  ({done.returncode})\n{done.stdout.strip()}", flush=True)
        return done.stdout if done.returncode == 0 else ""

    said("docmill", "serve", DOCMILL_AUTH="none")
    said("touch", "/opt/docmill/written", "/etc/written", "/written")
    health, entry, arguments = (
        json.loads(container[f"({word})"]) for word in ("HEALTHCHECK", "ENTRYPOINT", "CMD")
    )
    with subprocess.Popen([*user, *entry, *arguments], env=env) as server:
        try:
            healthy = wait_until_healthy([*user, *health], env)
            key = said("docmill", "keys", "create", "--owner", "me").split()[0]
            url = f"http://127.0.0.1:{env['DOCMILL_PORT']}"
            client = {"DOCMILL_API_KEY": key, "DOCMILL_URL": url}
            (sample,) = Path("/").glob(SAMPLE.lstrip("/"))
            sent = said("docmill", "upload", "--wait", str(sample), **client)
            found = said("docmill", "search", "--limit", "1", "when a worker is killed", **client)
            doctor = said("docmill", "doctor")
        finally:
            server.terminate()
    well = healthy and "searchable (100 %)" in sent and "killed" in found and "BAD" not in doctor
    print(f"docmill ended with {server.returncode}; {'all is well' if well else 'NOT all is well'}")
    return 0 if well and doctor and server.returncode == 0 else 1


def wait_until_healthy(health: list[str], env: dict[str, str]) -> bool:
    """Whether the health check is content in time."""
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends:
        if subprocess.run(health, env=env, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            print("healthy")
            return True
        time.sleep(0.5)
    return False


if __name__ == "__main__":
    sys.exit(main())
