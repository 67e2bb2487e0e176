"""What the public test files call in Python, written from their contract."""

import requests.auth


def return_hello(*_):
    return {"hello": "there"}


def gen_echo_url(host):
    return host + "/echo"


def return_list_vals():
    return [{"a_value": "b_value"}, 2]


def get_digest_auth():
    return requests.auth.HTTPDigestAuth("fakeuser", "fakepass")


class Pizza(requests.auth.AuthBase):
    def __call__(self, request):
        request.headers["X-Pizza"] = "pizza_user"
        return request


def get_pizza_auth():
    return Pizza()
