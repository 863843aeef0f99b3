"""Secrets in documents and texts, by name, by form and by value."""

import time

import pytest

from ojobchannels import errors
from ojobchannels.hookspecs import ChannelType, Option
from ojobchannels.masking import is_secret_name, mask_text, masked, secret_values
from ojobchannels.plugins import checked_options

NAMES = (
    *("password", "dbPassword", "db_password", "passwd", "pass", "userPass", "pwd", "MYSQL_PWD"),
    *("PGPASSWORD", "token", "accessToken", "secret", "clientSecret", "apiKey", "api_key"),
    *("AWS_SECRET_ACCESS_KEY", "private_key", "credentials", "authorization", "passphrase"),
)
OTHERS = ("tokenizer", "author", "authority", "compass", "bypass", "passenger", "passed", "key")


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_masked_by_its_name(name: str) -> None:
    """The style of the name and the type of the value do not matter; also within a list."""
    assert is_secret_name(name)
    assert masked([{name: "hunter2"}, {name: 20_345}]) == [{name: "***"}, {name: "***"}]


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_that_only_resembles_a_secret_is_not_masked(name: str) -> None:
    """Words that contain `pass`, `token` or `auth` are ordinary names."""
    assert masked({name: "plain"}) == {name: "plain"}


def test_everything_below_a_secret_name_is_masked() -> None:
    """A map of credentials keeps its shape; nothing, flags and empty texts are kept."""
    document = {"credentials": {"user": "bob", "pins": [1, 2], "on": True, "old": None, "new": ""}}
    expected = {"user": "***", "pins": ["***", "***"], "on": True, "old": None, "new": ""}
    assert masked(document) == {"credentials": expected}


def test_a_number_of_tokens_is_not_a_secret() -> None:
    """A limit such as `max_tokens` is shown, a list of tokens is not."""
    document = {"max_tokens": 500, "tokens": ["a1b2"]}
    assert masked(document) == {"max_tokens": 500, "tokens": ["***"]}


def test_a_declared_name_is_a_secret() -> None:
    """A name that no rule would find is masked where it is declared."""
    assert masked({"licence": "x-1", "n": 1}, secret=["licence"]) == {"licence": "***", "n": 1}


def test_a_secret_value_is_masked_wherever_it_is_repeated() -> None:
    """Another text of the same document may quote the value."""
    assert masked({"token": "tik-tok", "log": "sent tik-tok."}) == {
        "token": "***",
        "log": "sent ***.",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("at redis://:pw@h:1/0 now", "at redis://***@h:1/0 now"),
        ("['redis://PASSWORD@h', 'x']", "['redis://***@h', 'x']"),
        ("write redis://user:password@host", "write redis://user:password@host"),
        ("mongodb://u:p/a@ss@h/db", "mongodb://***@h/db"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("https://x.org/?q=a@b", "https://x.org/?q=a@b"),
        ("mysql --password hunter2 -h x", "mysql --password *** -h x"),
        ("PGPASSWORD=hunter2 psql", "PGPASSWORD=*** psql"),
        ("curl -u bob:hunter2 x", "curl -u bob:*** x"),
        ("Authorization: Bearer abcdefghij", "Authorization: Bearer ***"),
        ('{"password": "x y", "a": 1}', '{"password": "***", "a": 1}'),
        ("token-cookie: x", "token-cookie: ***"),
        ("GET /?token=abc&n=1", "GET /?token=***&n=1"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----.", "***."),
        ("ann@example.org", "ann@example.org"),
    ],
)
def test_a_text_is_masked_by_its_form(text: str, expected: str) -> None:
    """Logins of URLs, options of commands, headers, assignments and keys lose their secrets."""
    assert mask_text(text) == expected


@pytest.mark.parametrize("part", ["a://", "eyJ-", "-a", "password='", "'", "token ", "_-", "passw"])
def test_no_text_takes_long(part: str) -> None:
    """The time grows with the length of a text, not with its square."""
    began = time.process_time()
    mask_text(part * 20_000)
    assert time.process_time() - began < 2


def test_no_error_shows_a_login() -> None:
    """Every error of this package masks what its message quotes, also in its repr."""
    error = errors.ChannelUnavailable("c", "redis://:hunter2@h:6379 does not reply", "look")
    assert "hunter2" not in str(error) + repr(error) + error.reason
    assert "redis://***@h:6379 does not reply" in str(error)


def test_a_url_with_a_login_is_refused_for_another_option() -> None:
    """Such as the name of a database; the message says where the URL belongs, without the login."""
    type = ChannelType("shop", "a test", lambda *_: None, (Option("database", str, "name"),))
    with pytest.raises(errors.InvalidOption, match="pass it as the URL of the channel") as caught:
        checked_options(type, {"database": "mongodb://ann:hunter2@h/shop"})
    assert "hunter2" not in str(caught.value)


def test_control_characters_of_a_holder_are_escaped() -> None:
    """The holder info of another host is quoted in one line, with its escapes visible."""
    holder = {"host": "\x1b]0;title\x07\nforged", "pid": 7, "job": "a\u202eb"}
    text = str(errors.LockBusy("c", "n", holder, 1, 0))
    assert r"host \x1b]0;title\x07\nforged, pid 7, job a\u202eb" in text
    assert text.isprintable()


def test_an_endless_holder_is_cut() -> None:
    """A holder document of megabytes does not fill the terminal of whoever finds the lock taken."""
    assert len(str(errors.LockBusy("c", "n", {"host": "h" * 1_000_000}, 1, 0))) < 1000


def test_args_that_contain_themselves_have_secrets_too() -> None:
    """A job may put anything into its args; the search ends."""
    args: dict[str, object] = {"password": "hunter2"}
    args["self"] = [args, args]
    assert secret_values(args) == {"hunter2"}


def test_a_working_directory_is_not_masked() -> None:
    """Although `pwd` is also the name of a password."""
    assert (
        mask_text("PWD=/srv/jobs pwd: `pwd` is a folder") == "PWD=/srv/jobs pwd: `pwd` is a folder"
    )
    assert mask_text("UID=sa;PWD=pa55word") == "UID=sa;PWD=***"
