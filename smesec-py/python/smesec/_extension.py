"""What test files reach in Python: functions, tinctures, fixtures, hooks."""

import importlib
import inspect
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any

Extensions = bool | str | Iterable[str] | Mapping[str, Callable[..., Any]]

# An answer as the native part hands it over: status, reason, headers, body.
_Seen = tuple[int, str, list[tuple[str, bytes]], bytes]
_Finish = Callable[[dict[str, Any], _Seen | None], None]


class Response:
    """The answer that a function behind a check is called with; it reads as that of `requests` does."""

    def __init__(self, status_code: int, reason: str, headers: list[tuple[str, bytes]], content: bytes) -> None:
        self.status_code = status_code
        self.reason = reason
        self.headers: Mapping[str, str] = _Headers(headers)
        self.content = content

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def text(self) -> str:
        """The body as UTF-8, what is none of it replaced."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """What the body means as JSON; raises `ValueError` where it is none."""
        return json.loads(self.content)

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


class _Headers(Mapping[str, str]):
    """Headers by name, whatever its case; repeated ones are joined by commas."""

    def __init__(self, headers: list[tuple[str, bytes]]) -> None:
        self._values: dict[str, tuple[str, str]] = {}
        for name, raw in headers:
            value = raw.decode("latin-1")
            known = self._values.get(name.lower())
            self._values[name.lower()] = (name, f"{known[1]}, {value}" if known else value)

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


Response.__module__ = "smesec.taas"


class Functions:
    """From the names in test files to Python's functions and fixtures; the native part calls it.

    With `promises` any fixture may be asked for, its value being handed in when a test runs. `hooks` has Tavern's hooks around a
    request.
    """

    def __init__(
        self,
        extensions: Extensions,
        *,
        fixtures: Mapping[str, Any] | None = None,
        promises: bool = False,
        hooks: Any = None,
    ) -> None:
        self._given = extensions if isinstance(extensions, Mapping) else {}
        self._any = extensions is True
        self._modules: tuple[str, ...] = ()
        if isinstance(extensions, str):
            self._modules = (extensions,)
        elif not isinstance(extensions, (bool, Mapping)):
            self._modules = tuple(extensions)
        self.fixtures = dict(fixtures or {})
        self.promises = promises
        self._before = hooks and hooks.pytest_tavern_beta_before_every_request
        self._after = hooks and hooks.pytest_tavern_beta_after_every_response
        self.watches = any(hook and hook.get_hookimpls() for hook in (self._before, self._after))

    def offers(self, name: str) -> bool:
        """Whether the name may be called; whether it can be is seen when it is."""
        module, colon, _ = name.partition(":")
        below = any(module == known or module.startswith(f"{known}.") for known in self._modules)
        own = name in _HELPERS and bool(self._any or self._modules)
        return own or name in self._given or bool(colon) and (self._any or below)

    def call(
        self, name: str, response: _Seen | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What a function gives; checks are called with the answer."""
        before = () if response is None else (Response(*response),)
        given = self._function(name)(*before, *args, **kwargs)
        if inspect.isgenerator(given):
            given.close()
            raise TypeError("a generator was given, which only a tincture may be; give a value")
        return _plain(given)

    def tincture(
        self, name: str, stage: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Finish | None:
        """Runs a tincture up to its `yield`; what has to see the answer."""
        given = self._function(name)(stage, *args, **kwargs)
        if not inspect.isgenerator(given):
            return None
        begun: Generator[Any, Any, Any] = given
        try:
            next(begun)
        except StopIteration:
            raise RuntimeError("it is a generator that does not yield; yield once, or return") from None

        def finish(expected: dict[str, Any], response: _Seen | None) -> None:
            try:
                begun.send((expected, None if response is None else Response(*response)))
            except StopIteration:
                return
            begun.close()
            raise RuntimeError("it yields twice, and nothing comes after the answer; yield once")

        return finish

    def watch(self, request: dict[str, Any]) -> _Finish | None:
        """Tells the hooks of a request; what tells them of its answer."""
        self._before(request_args=request)
        if not self._after.get_hookimpls():
            return None

        def finish(expected: dict[str, Any], response: _Seen | None) -> None:
            self._after(expected=expected, response=None if response is None else Response(*response))

        return finish

    def _function(self, name: str) -> Callable[..., Any]:
        # Not every caller asks first, and a name that is not offered must not be imported.
        if not self.offers(name):
            raise LookupError("it is not offered; name its module in `extensions`")
        if name in self._given:
            return self._given[name]
        if name in _HELPERS:
            return self._helper(*_HELPERS[name])
        found = self._found(name)
        if not callable(found):
            raise TypeError("it is no function")
        return found  # type: ignore[no-any-return]

    def _helper(self, keyword: str, check: Callable[..., None]) -> Callable[..., None]:
        def helper(response: Response, *args: str, **kwargs: Any) -> None:
            location = args[0] if args else kwargs.pop(keyword)
            check(response, self._found(location), **kwargs)

        return helper

    def _found(self, name: str) -> Any:
        if not self.offers(name):
            raise LookupError(f"`{name}` is not offered; name its module in `extensions`")
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)


class _Unsent:
    """The request that an object of `requests` signs in for: its headers, and nothing that is not known yet."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        raise TypeError(f"`auth` looks at the request's `{name}`, which is not known to it here; set headers only")


def _plain(given: Any) -> Any:
    """What a function gave; an object that signs in as `requests` has it as the mapping that says the same."""
    kind = type(given)
    if not callable(given) or isinstance(given, (Mapping, list, tuple, str, bytes, type)):
        return given
    known = {"HTTPBasicAuth": "basic", "HTTPDigestAuth": "digest"}.get(kind.__name__)
    if known and kind.__module__ == "requests.auth":
        return {"type": known, "username": given.username, "password": given.password}
    request = _Unsent()
    given(request)
    return {"headers": dict(request.headers)}


def _validate_pydantic(response: Response, model: Any, **kwargs: Any) -> None:
    model.model_validate(response.json(), **kwargs)


def _check_exception_raised(response: Response, exception: Any) -> None:
    """The answer tells what an exception of the application says about itself."""
    told = response.json()
    for key in ("title", "error"):
        if key in told and told[key] != exception.error_title:
            raise AssertionError(f"`{key}` is `{told[key]}`, expected `{exception.error_title}`")
    found = told.get("description", told.get("error_description"))
    expected = getattr(exception, "error_description", None) or getattr(exception, "description", None)
    # Braces are left to be filled in, nobody knows with what.
    if found != expected and (expected is None or not set("{}") & set(expected)):
        raise AssertionError(f"the description is `{found}`, expected `{expected}`")
    if response.status_code != int(exception.status.split()[0]):
        raise AssertionError(f"the status is {response.status_code}, expected {exception.status}")


# Functions of the format that look into Python's own classes: the argument that names one, and the check.
_HELPERS: dict[str, tuple[str, Callable[..., None]]] = {
    "tavern.helpers:validate_pydantic": ("model_location", _validate_pydantic),
    "tavern.helpers:check_exception_raised": ("exception_location", _check_exception_raised),
}
