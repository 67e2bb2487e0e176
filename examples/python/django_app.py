"""A Django application behind the firewall: `gunicorn django_app:application`, or `uvicorn django_app:asgi`."""

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import smesec
import smesec.asgi
import smesec.wsgi

if not settings.configured:
    settings.configure(SECRET_KEY="example", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[])
    django.setup()


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.GET.get('name', 'you')}")


@csrf_exempt
def note(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{len(request.POST['note'])} characters")


urlpatterns = [path("", index), path("note", note)]

waf = smesec.Settings().waf(sink=smesec.LogSink())
application = smesec.wsgi.Middleware(get_wsgi_application(), waf)
asgi = smesec.asgi.Middleware(get_asgi_application(), waf)
