"""`cluster.yaml` is a file that Ray takes, of the versions that we test, and closed."""

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
COMMANDS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands"),
)


@pytest.fixture(scope="module")
def given() -> dict[str, Any]:
    """What the file says."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
    return found


@pytest.fixture(scope="module")
def config(given: dict[str, Any]) -> dict[str, Any]:
    """What Ray makes of it."""
    prepared: dict[str, Any] = prepare_config(given)
    return prepared


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_ray_takes_the_file(config: dict[str, Any]) -> None:
    validate_config(config)
    assert config["provider"]["type"] == "aws"
    for name in COMMANDS:  # Ray adds its own where the file has none
        assert not [line for line in config[name] if "ray-wheels" in line or "boto3>=" in line]


def test_rays_validator_would_tell_what_is_wrong(config: dict[str, Any]) -> None:
    for change in ({"max_worker": 3}, {"max_workers": "8"}, {"head_node_type": "none"}):
        with pytest.raises(Exception, match=r"max_worker|'8'|head_node_type"):
            validate_config({**config, **change})


def test_versions_are_those_that_we_test(given: dict[str, Any]) -> None:
    image = given["docker"]["image"]
    found = re.fullmatch(r"rayproject/ray:(\d+\.\d+\.\d+)-py(\d)(\d+)-gpu", image)
    assert found
    assert found[1] == pins()["ray"]
    assert (int(found[2]), int(found[3])) == (3, 11)
    assert re.search(r"on Python (\S+);", (ROOT / "constraints.txt").read_text())[1] == "3.11"
    assert not re.findall(r"[a-zA-Z]==|>=\d", TEXT)  # all else is in constraints.txt
    (install,) = [line for line in given["setup_commands"] if "pip install" in line]
    assert "--constraint constraints.txt" in install


def test_everything_that_nodes_install_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    todo = [Requirement(text) for text in asked]
    seen: set[str] = set()
    while todo:
        need = todo.pop()
        todo += _required(need) if str(need) not in seen else []
        seen.add(str(need))
    names = {_plain(Requirement(text).name) for text in seen}
    assert {"ray", "torch", "mlflow", "flask-wtf", "boto3", "psycopg"} <= names
    # what torch needs of CUDA it pins itself
    others = {name for name in names if not name.startswith(("nvidia-", "triton", "cuda-"))}
    assert others - {_plain(name) for name in pins()} <= {"setuptools"}


def _required(need: Requirement) -> list[Requirement]:
    """What an installed package needs here, with the extras that are asked of it."""
    try:
        texts = importlib.metadata.requires(need.name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Requirement(text) for text in texts]
    extras = [{"extra": extra} for extra in ("", *need.extras)]
    return [n for n in found if n.marker is None or any(n.marker.evaluate(e) for e in extras)]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# --- closed ---------------------------------------------------------------------------------------


def test_only_ssh_comes_in_and_nodes_speak_among_themselves(given: dict[str, Any]) -> None:
    pytest.importorskip("boto3")
    from ray.autoscaler._private.aws.config import _create_default_inbound_rules

    group = given["provider"]["security_group"]
    rules = _create_default_inbound_rules({"sg-1"}, group.get("IpPermissions", []))
    for rule in rules:
        ranges = [*rule.get("IpRanges", []), *rule.get("Ipv6Ranges", [])]
        if ranges:
            assert (rule["FromPort"], rule["ToPort"], rule["IpProtocol"]) == (22, 22, "tcp")
        else:
            assert rule["UserIdGroupPairs"] == [{"GroupId": "sg-1"}]
    assert set(group) == {"GroupName"}
    for node in given["available_node_types"].values():  # no groups of its own beside that
        assert not {"SecurityGroupIds", "NetworkInterfaces"} & set(node["node_config"])


def test_every_service_is_bound_to_loopback(given: dict[str, Any]) -> None:
    commands = "\n".join(line for name in COMMANDS for line in given.get(name, []))
    assert "0.0.0.0" not in TEXT
    assert "::" not in commands
    assert re.findall(r"mlflow server .*--host (\S+)", commands) == ["127.0.0.1"]
    assert re.findall(r"--dashboard-host=(\S+)", commands) == ["127.0.0.1"]
    assert "--app-name basic-auth" in commands


def test_every_process_wants_a_token(given: dict[str, Any]) -> None:
    assert "--env RAY_AUTH_MODE=token" in given["docker"]["run_options"]
    assert "disabled" not in TEXT
    assert given["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert given["setup_commands"][0] == "chmod 600 ~/.ray/auth_token"


def test_nothing_secret_is_inside(given: dict[str, Any]) -> None:
    assert not re.findall(r"AKIA|aws_secret|password\s*[:=]\s*\S", TEXT, re.IGNORECASE)
    words = re.findall(r"[A-Za-z0-9+/_-]{24,}", TEXT.replace("/aws/service/", " "))
    assert not [word for word in words if sum(map(str.isdigit, word)) > 7]  # as in a token or key
    assert not {"ssh_private_key"} & set(given["auth"])


def test_disks_are_encrypted_and_roles_are_read_by_session(given: dict[str, Any]) -> None:
    for node in given["available_node_types"].values():
        config = node["node_config"]
        assert all(disk["Ebs"]["Encrypted"] for disk in config["BlockDeviceMappings"])
        assert config["MetadataOptions"]["HttpTokens"] == "required"
        assert config["IamInstanceProfile"]["Name"].startswith("ganray-")
    assert given["provider"]["cache_stopped_nodes"] is False


def test_gpu_workers_are_there_from_the_start_and_trials_run_on_them(
    config: dict[str, Any],
) -> None:
    types = config["available_node_types"]
    assert types["gpu"]["min_workers"] >= 1
    assert types["gpu"]["max_workers"] <= config["max_workers"]
    assert types["gpu"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}


def test_what_is_mounted_is_what_installing_needs(given: dict[str, Any]) -> None:
    assert given["file_mounts"]["~/ganray"] == "."
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".venv" in ignored
    assert given["rsync_filter"] == [".gitignore"]
    assert "**/.git" in given["rsync_exclude"]
    needed = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "ganray"}
    assert needed <= {path.name for path in ROOT.iterdir()}
    assert not needed & {line.strip("/") for line in ignored}


# --- the README -----------------------------------------------------------------------------------

# why no test can run them
EXEMPT = {
    "pip install -c constraints.txt '.[cluster]'": "takes minutes; `make` does the like",
    "ray up cluster.yaml": "needs AWS",
    "ray dashboard cluster.yaml": "needs AWS",
    "ray attach cluster.yaml --port-forward 5000": "needs AWS",
    "ssh -N -L 8265:127.0.0.1:8265 -L 5000:127.0.0.1:5000 $RAY_HEAD_IP": "needs a second machine",
}


def test_commands_of_the_readme_are_those_of_the_file_which_a_test_runs(
    given: dict[str, Any],
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.partition("## On a cluster\n")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL))
    told = {line.partition("  #")[0].strip() for line in lines.splitlines() if line}
    header = {line.strip("# ").partition("   ")[0] for line in TEXT.splitlines()[:12]}
    starts = [*given["head_start_ray_commands"], *given["worker_start_ray_commands"]]
    started = {line[line.index("ray start") :] for line in starts if "ray start" in line}
    own = {line.replace(" --num-cpus=0", AUTOSCALER) for line in told if "ray start" in line}
    assert own == started
    others = {line for line in told if "ray start" not in line}
    assert others == {*EXEMPT, "(umask 077; ray get-auth-token --generate > /dev/null)"}
    assert others - {line for line in others if "ssh" in line} <= header


AUTOSCALER = " --autoscaling-config=~/ray_bootstrap_config.yaml"  # without one, no CPUs by a flag
