"""What the operator writes, and what is said where it is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from app.config.settings import MAX_CONFIG_BYTES, RegistrySettings, Settings, load_settings, settings_in_use
from app.errors import InvalidSettings

SECRET = "correct-horse-battery"


def secret_of(registry: RegistrySettings) -> str | None:
    return registry.password.get_secret_value() if registry.password else None


def read(tmp_path: Path, text: str = "", **environ: str) -> Settings:
    file = tmp_path / "tarmac.toml"
    file.write_text(text)
    return load_settings(file, environ)


def refused(tmp_path: Path, text: str = "", **environ: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        read(tmp_path, text, **environ)
    return str(caught.value)


def test_nothing_set_is_a_service_on_loopback_with_no_registry() -> None:
    settings = load_settings(environ={"HOME": "/root"})
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path("data"))
    assert dict(settings.registries) == {}
    assert settings.keep_jobs == timedelta(days=30)


def test_the_single_registry_needs_no_file() -> None:
    settings = load_settings(
        environ={
            "TARMAC_REGISTRY_URL": "http://registry.local:5000/mirror",
            "TARMAC_REGISTRY_USERNAME": "me",
            "TARMAC_REGISTRY_PASSWORD": SECRET,
        }
    )
    registry = settings.registries["default"]
    assert registry.url == "http://registry.local:5000/mirror"
    assert (registry.username, secret_of(registry)) == ("me", SECRET)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump())


def test_the_settings_in_use_are_those_that_were_given_without_secrets(tmp_path: Path) -> None:
    text = f"""
port = 1
keep_jobs = "90s"
path_roots = ["{tmp_path}"]
webhook_url = "https://hooks.example:8443/{SECRET}?key={SECRET}"
webhook_secret = "{SECRET}"
database_url = "postgresql://u:{SECRET}@h/d"
[registries.default]
url = "r.example"
username = "u"
password = "{SECRET}"
"""
    assert settings_in_use(read(tmp_path, text, TARMAC_LOG_LEVEL="WARNING")) == {
        "keep_jobs": "90s",
        "log_level": "warning",
        "path_roots": [str(tmp_path)],
        "port": 1,
        "registries": {"default": {"url": "r.example", "username": "u"}},
        "webhook_url": "https://hooks.example:8443",
    }
    assert settings_in_use(Settings()) == {}


@pytest.mark.parametrize("name", ["TARMAC_LOG_LEVEL", "TARMAC_LOG_FORMAT", "TARMAC_ACCESS_LOG"])
def test_an_unknown_choice_for_the_logs_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path, **{name: "loud"}).startswith(f"{name} ({name.removeprefix('TARMAC_').lower()}): ")


def test_the_environment_wins_key_by_key(tmp_path: Path) -> None:
    text = f'port = 1\nhost = "::1"\n[registries.default]\nurl = "a"\nusername = "u"\npassword = "{SECRET}"'
    settings = read(tmp_path, text, TARMAC_PORT="2", TARMAC_REGISTRY_PASSWORD="other")
    assert (settings.port, settings.host) == (2, "::1")
    assert secret_of(settings.registries["default"]) == "other"


def test_flat_registry_keys_of_the_file_are_the_default_registry(tmp_path: Path) -> None:
    settings = read(tmp_path, 'registry_url = "a:5000"\n[registries.other]\nurl = "https://b"')
    assert {name: each.url for name, each in settings.registries.items()} == {"default": "a:5000", "other": "https://b"}


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("port = 7")
    assert load_settings(environ={"TARMAC_CONFIG": str(file)}).port == 7


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings(environ={"TARMAC_PORT": "", "TARMAC_CONFIG": ""}).port == 8080


def test_what_kubernetes_sets_beside_a_service_called_tarmac_is_passed_over() -> None:
    environ = {
        "TARMAC_PORT": "tcp://10.0.0.1:8080",
        "TARMAC_SERVICE_HOST": "10.0.0.1",
        "TARMAC_SERVICE_PORT_HTTP": "8080",
        "TARMAC_PORT_8080_TCP_ADDR": "10.0.0.1",
    }
    assert load_settings(environ=environ).port == 8080


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10", 10), ("10GiB", 10 << 30), ("1 kb", 1000), ("2MiB", 2 << 20), ("3TB", 3 * 10**12)],
)
def test_sizes_are_bytes_or_have_a_unit(text: str, expected: int) -> None:
    assert load_settings(environ={"TARMAC_MAX_UPLOAD_BYTES": text}).max_upload_bytes == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("30d", timedelta(days=30)), ("12h", timedelta(hours=12)), ("90", timedelta(seconds=90))]
)
def test_ages_are_seconds_or_have_a_unit(text: str, expected: timedelta) -> None:
    assert load_settings(environ={"TARMAC_KEEP_JOBS": text}).keep_jobs == expected


def test_a_size_of_the_file_may_be_a_number(tmp_path: Path) -> None:
    assert read(tmp_path, "max_upload_bytes = 5\nkeep_jobs = 60").keep_jobs == timedelta(minutes=1)


def test_path_roots_are_a_list_in_the_file_and_colon_separated_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    both = (tmp_path / "a", tmp_path / "b")
    assert read(tmp_path, f'path_roots = ["{both[0]}", "{both[1]}"]').path_roots == both
    assert read(tmp_path, TARMAC_PATH_ROOTS=f"{both[0]}:{both[1]}:").path_roots == both


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auth.corp", ("https://auth.corp",)),
        ("https://auth.corp:443/, http://10.0.0.7:8080", ("https://auth.corp", "http://10.0.0.7:8080")),
    ],
)
def test_allowed_origins_are_separated_by_commas_or_a_list(tmp_path: Path, text: str, expected: tuple[str]) -> None:
    environ = {"TARMAC_REGISTRY_URL": "r", "TARMAC_REGISTRY_ALLOWED_ORIGINS": text}
    assert load_settings(environ=environ).registries["default"].allowed_origins == expected
    listed = ", ".join(f'"{part.strip()}"' for part in text.split(","))
    assert read(tmp_path, f'registry_url = "r"\nregistry_allowed_origins = [{listed}]').registries == {
        "default": RegistrySettings(url="r", allowed_origins=expected)
    }


@pytest.mark.parametrize("text", ["https://a/token", "ftp://a", "https://a?x=1", "https://u:p@a", "a b"])
def test_what_is_no_origin_is_refused_by_its_key(text: str) -> None:
    environ = {"TARMAC_REGISTRY_URL": "r", "TARMAC_REGISTRY_ALLOWED_ORIGINS": text}
    with pytest.raises(InvalidSettings, match="TARMAC_REGISTRY_ALLOWED_ORIGINS"):
        load_settings(environ=environ)


@pytest.mark.parametrize("key", ["prot = 1", "[registries.default]\nurl='a'\nusrname='x'"])
def test_a_misspelt_key_of_the_file_is_refused_by_name(tmp_path: Path, key: str) -> None:
    said = refused(tmp_path, key)
    assert "TARMAC_PROT (prot): " in said or "([registries.default] usrname): " in said


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"TARMAC_HSOT": "x"}, "TARMAC_HSOT"),
        ({"TARMAC_REGISTRY_URI": "x"}, "TARMAC_REGISTRY_URI"),
        ({"TARMAC_PORT": "x"}, "TARMAC_PORT"),
        ({"TARMAC_PORT": "65536"}, "TARMAC_PORT"),
        ({"TARMAC_MAX_UPLOAD_BYTES": "much"}, "TARMAC_MAX_UPLOAD_BYTES"),
        ({"TARMAC_MAX_UPLOAD_BYTES": "1 parsec"}, "TARMAC_MAX_UPLOAD_BYTES"),
        ({"TARMAC_KEEP_JOBS": "0d"}, "TARMAC_KEEP_JOBS"),
        ({"TARMAC_PATH_ROOTS": "relative"}, "TARMAC_PATH_ROOTS"),
        ({"TARMAC_TOKENS_FILE": "/no/such/file"}, "TARMAC_TOKENS_FILE"),
        ({"TARMAC_REGISTRY_URL": "ftp://x"}, "TARMAC_REGISTRY_URL"),
        ({"TARMAC_REGISTRY_URL": "http://x:port"}, "TARMAC_REGISTRY_URL"),
        ({"TARMAC_REGISTRY_URL": "x?y=z"}, "TARMAC_REGISTRY_URL"),
        ({"TARMAC_REGISTRY_URL": f"https://me:{SECRET}@x"}, "TARMAC_REGISTRY_URL"),
        ({"TARMAC_REGISTRY_PASSWORD": SECRET}, "TARMAC_REGISTRY_URL"),
        ({"TARMAC_REGISTRY_URL": "x", "TARMAC_REGISTRY_PASSWORD": SECRET}, "username and password"),
        ({"TARMAC_REGISTRY_URL": "x", "TARMAC_REGISTRY_USERNAME": "u"}, "username and password"),
        ({"TARMAC_REGISTRY_URL": "x", "TARMAC_REGISTRY_CLIENT_KEY": __file__}, "client_cert"),
        ({"TARMAC_HOST": "0.0.0.0"}, "TARMAC_ALLOW_ANONYMOUS"),
        ({"TARMAC_HOST": "example.com"}, "TARMAC_TOKENS_FILE"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_without_its_secret(environ: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environ=environ)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_ca_file_and_no_verification_exclude_each_other() -> None:
    environ = {
        "TARMAC_REGISTRY_URL": "x",
        "TARMAC_REGISTRY_CA_FILE": __file__,
        "TARMAC_REGISTRY_INSECURE_SKIP_TLS_VERIFY": "true",
    }
    with pytest.raises(InvalidSettings, match="exclude each other"):
        load_settings(environ=environ)


def test_two_ways_to_give_the_password_exclude_each_other(tmp_path: Path) -> None:
    text = f'[registries.a]\nurl = "x"\nusername = "u"\npassword = "{SECRET}"\npassword_file = "{__file__}"'
    said = refused(tmp_path, text)
    assert "[registries.a]" in said
    assert SECRET not in said


def test_a_registry_name_is_plain(tmp_path: Path) -> None:
    assert "registries" in refused(tmp_path, '[registries."../x"]\nurl = "x"')


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_may_be_bound_by_anybody(host: str) -> None:
    assert load_settings(environ={"TARMAC_HOST": host}).is_loopback


def test_others_may_be_served_with_tokens_or_when_it_is_meant(tmp_path: Path) -> None:
    assert not load_settings(environ={"TARMAC_HOST": "::", "TARMAC_ALLOW_ANONYMOUS": "true"}).is_loopback
    assert load_settings(environ={"TARMAC_HOST": "0.0.0.0", "TARMAC_TOKENS_FILE": __file__}).tokens_file


def test_a_file_that_is_not_there_or_no_toml_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"no\.toml"):
        load_settings(tmp_path / "no.toml", {})
    assert "not valid TOML" in refused(tmp_path, "port = = 1")
    assert str(MAX_CONFIG_BYTES) in refused(tmp_path, "#" * (MAX_CONFIG_BYTES + 1))


def test_settings_do_not_change() -> None:
    settings = load_settings(environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(environ={"TARMAC_PORT": "x", "TARMAC_HSOT": "y"})
    assert len(str(caught.value).splitlines()) == 2


def test_a_registry_may_be_gone_easy_on() -> None:
    names = {"MAX_REQUESTS_PER_SECOND": "2.5", "MAX_BYTES_PER_SECOND": "5MB", "CHUNK_BYTES": "16MiB", "VERIFY": "blobs"}
    environ = {f"TARMAC_REGISTRY_{name}": value for name, value in names.items()}
    registry = load_settings(environ={"TARMAC_REGISTRY_URL": "r.local", **environ}).registries["default"]
    assert (registry.max_requests_per_second, registry.max_bytes_per_second) == (2.5, 5_000_000)
    assert (registry.chunk_bytes, registry.verify) == (16 << 20, "blobs")
    plain = load_settings(environ={"TARMAC_REGISTRY_URL": "r.local"}).registries["default"]
    assert (plain.max_requests_per_second, plain.max_bytes_per_second, plain.verify) == (None, None, "tag")


@pytest.mark.parametrize("line", ['verify = "maybe"', "chunk_bytes = 1000", "max_requests_per_second = 0"])
def test_limits_that_make_no_sense_are_refused(tmp_path: Path, line: str) -> None:
    assert line.partition(" ")[0] in refused(tmp_path, f'[registries.a]\nurl = "x"\n{line}')


def test_a_watched_folder_that_holds_the_data_directory_is_refused(tmp_path: Path) -> None:
    environ = {"TARMAC_WATCH_DIR": str(tmp_path), "TARMAC_DATA_DIR": str(tmp_path / "data")}
    with pytest.raises(InvalidSettings, match="watch_dir"):
        load_settings(environ=environ)


@pytest.mark.parametrize("url", ["receiver.local/x", "ftp://a", "https://user:geheim@a/x", "https://"])
def test_an_address_for_ended_jobs_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidSettings, match="TARMAC_WEBHOOK_URL") as caught:
        load_settings(environ={"TARMAC_WEBHOOK_URL": url})
    assert "geheim" not in str(caught.value)


def test_what_has_to_be_signed_is_read_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("")
    (tmp_path / "t.toml").write_text(f'[[signatures]]\ndestinations = ["*/prod/*"]\nkeys = ["{tmp_path}/a.pub"]\n')
    (signatures,) = load_settings(tmp_path / "t.toml", environ={}).signatures
    assert (signatures.destinations, signatures.keys) == (("*/prod/*",), (tmp_path / "a.pub",))
