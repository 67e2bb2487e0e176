"""A Flask application behind the firewall, its uploads scanned: `gunicorn flask_app:app`."""

from flask import Flask, request

import smesec
import smesec.wsgi


def scan(upload: smesec.ScanObject) -> smesec.ScanReport:
    """Knows one harmless test file; put your scanner here."""
    if b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE" in (upload.data or b""):
        return smesec.ScanReport([smesec.finding("eicar", "antivirus test file", severity="critical")])
    return smesec.ScanReport()


app = Flask(__name__)
settings = smesec.Settings(scanner=scan, trusted_proxies=["127.0.0.0/8"])
app.wsgi_app = smesec.wsgi.Middleware(app.wsgi_app, settings=settings)


@app.get("/")
def index() -> str:
    return f"hello {request.args.get('name', 'you')}, seen as {request.environ['smesec.inspection'].client[0]}"


@app.post("/upload")
def upload() -> str:
    return f"{len(request.files['file'].read())} bytes"
