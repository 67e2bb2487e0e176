"""Visits counted over all workers: `gunicorn -w 4 --preload shared_limit:application`.

Made before the fork, the store is shared by all workers. Without `--preload` give it a `path` instead.
"""

import os

import smesec
import smesec.wsgi

RULES = """
SecRuleEngine On
SecRule REQUEST_FILENAME "@streq /" "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR},setvar:ip.visits=+1,expirevar:ip.visits=60"
SecRule IP:visits "@gt 20" "id:2,phase:1,deny,status:429,msg:'more than 20 visits of /'"
"""

store = smesec.SharedStore(1 << 20, path=os.environ.get("SHARED_LIMIT_FILE"))
waf = smesec.Waf(smesec.RuleSet.from_text(RULES, strict=True), store=store, sink=smesec.LogSink())


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


application = smesec.wsgi.Middleware(hello, waf)
