#!/usr/bin/env python3
"""Ten thousand legitimate transactions, made from the texts and package metadata that a Debian machine carries.

usage: legitimate.py [--seed N] > legitimate.jsonl     4,000 form posts, 1,000 multipart, 4,000 JSON calls, 1,000 GETs
       legitimate.py --seeds N,N... FOLDER             the same for each seed, as FOLDER/legitimate-N.jsonl
       legitimate.py --score RESULTS.jsonl             blocked N of M, overall and by kind

RESULTS has one JSON line a transaction with "name" and "verdict" ("block") or "status" (not 0).
Sources: manual pages and changelogs of the Debian packages in PACKAGES that are installed (at least `manpages` and
`manpages-dev`; on an image without documentation: apt-get install --reinstall), the package.json and README files that
npm brings along, and the METADATA of the Python packages installed. The same versions of these give the same lines;
what was used is said on standard error. None of the text is part of this project.
"""
import base64
import email
import gzip
import hashlib
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from glob import glob
from urllib.parse import quote, urlencode

PACKAGES = """manpages manpages-dev man-db bash coreutils util-linux tar gzip sed grep findutils diffutils dpkg dpkg-dev apt
    openssl git git-man curl wget openssh-client nginx procps passwd login mount gcc-12 binutils make perl-base perl-doc
    python3 libc6 libc6-dev libssl3 libxml2 libsqlite3-0 libcurl4 zlib1g rsync xz-utils
    bzip2 ca-certificates debconf gpg iproute2 iputils-ping kmod less lsb-release nano vim-common tmux strace unzip zip
    sqlite3 mariadb-common postgresql-client-common systemd udev cron logrotate sudo adduser e2fsprogs ncurses-bin""".split()
NPM = ("/usr/lib/node_modules", "/usr/local/lib/node_modules", "/usr/share/nodejs")
FORMS, MULTIPARTS, CALLS, GETS = 4000, 1000, 4000, 1000
SEED = 20260301
R = random.Random()
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
)
CLIENTS = ("npm/10.8.1 node/v20.14.0 linux x64 workspaces/false", "python-requests/2.32.3", "okhttp/4.12.0",
           "axios/1.7.2", "GitHub-Hookshot/1a2b3c4", AGENTS[0], AGENTS[1])
NAMES = ("Jane O'Connor", "Zoë Müller", "José Ibáñez", "Patrick O'Select", "Anna-Lena Schmidt", "D'Arcy Union", "李小龙",
         "Siobhán Ní Dhuill", "Robert Table", "Nguyễn Văn An", "Ole Kristensen", "Maria da Silva", "Henry Drop", "Chloé Dupont")


def skipped(reason):
    print(f"##### SKIPPED: legitimate.py: {reason} #####", file=sys.stderr)
    sys.exit(0)


def unroff(text):
    """Paragraphs of a manual page: requests dropped, fonts and escapes resolved roughly."""
    lines, code = [], False
    for line in text.splitlines():
        if line.startswith((".\\\"", "'\\\"", "..")):
            continue
        if line.startswith((".", "'")):
            request, _, rest = line[1:].strip().partition(" ")
            if request in ("nf", "EX", "Vb"):
                lines.append("")
                code = True
            elif request in ("fi", "EE", "Ve"):
                lines.append("")
                code = False
            elif request in ("B", "I", "BR", "IR", "RB", "RI", "BI", "IB", "SM", "SB", "Fl", "Ar", "Nm", "Xr", "Pa", "Dv", "Em"):
                joined = "" if len(request) == 2 and request.isupper() else " "
                words = [w[0] or w[1] for w in re.findall(r'"([^"]*)"|(\S+)', rest)]
                lines.append(joined.join(words))
            elif request in ("SH", "SS", "PP", "P", "LP", "TP", "IP", "HP", "Sh", "Ss", "Pp", "It", "sp", "RS", "RE", "TH", "Dd"):
                lines.append("")
            continue
        lines.append(line + ("\n" if code else ""))
    plain = "\n".join(line if line.endswith("\n") else line + " " if line else "\n\n" for line in lines)
    plain = re.sub(r"\\f(\[[^\]]*\]|\(..|.)", "", plain)
    plain = re.sub(r"\\s[-+]?\d", "", plain)
    for escape, char in (("\\(aq", "'"), ("\\(dq", '"'), ("\\(em", "—"), ("\\(en", "–"), ("\\(bu", "•"), ("\\(co", "©"),
                         ("\\(lq", "“"), ("\\(rq", "”"), ("\\(ha", "^"), ("\\(ti", "~"), ("\\-", "-"), ("\\&", ""),
                         ("\\e", "\\"), ("\\ ", " "), ("\\|", ""), ("\\^", ""), ("\\c", ""), ("\\:", ""), ("\\%", ""),
                         ("\\(rs", "\\")):
        plain = plain.replace(escape, char)
    plain = re.sub(r"\\(\(..|\[[^\]]*\]|\*\(..|\*\[[^\]]*\])", "", plain)
    return paragraphs(plain)


def paragraphs(text):
    found = []
    for block in re.split(r"\n\s*\n", text):
        if re.search(r" \n", block):
            block = re.sub(r"\s+", " ", block)
        block = block.strip()
        if 80 <= len(block) <= 3000 and sum(c.isalpha() for c in block) > len(block) // 2:
            found.append(block)
    return found


def installed():
    listing = subprocess.run(["dpkg-query", "-W", "-f=${Package} ${Version} ${db:Status-Status}\n"], capture_output=True, text=True)
    have = {}
    for line in listing.stdout.splitlines():
        name, version, status = line.split(" ")
        if status == "installed":
            have[name.split(":")[0]] = version
    return have


def debian_texts():
    if not os.path.exists("/usr/bin/dpkg-query"):
        skipped("not a Debian machine (no dpkg-query)")
    have = installed()
    used, texts = [], []
    for package in sorted(set(PACKAGES) & have.keys()):
        files = subprocess.run(["dpkg-query", "-L", package], capture_output=True, text=True).stdout.split("\n")
        count = 0
        for path in sorted(files):
            manual = re.fullmatch(r"/usr/share/man/man[1-8]/[^/]+\.gz", path)
            if not (manual or re.fullmatch(r"/usr/share/doc/[^/]+/changelog[^/]*\.gz", path)):
                continue
            try:
                with gzip.open(path) as file:
                    text = file.read(400_000).decode("utf-8", "replace")
            except OSError:
                continue
            got = unroff(text) if manual else paragraphs(text)[:400]
            count += bool(got)
            texts += [(os.path.basename(path).split(".")[0], p) for p in got]
        if count:
            used.append(f"{package}={have[package]} ({count} files)")
    return used, texts


def npm_documents():
    found = {}
    for top in NPM:
        for path in sorted(glob(top + "/**/package.json", recursive=True)):
            try:
                with open(path, encoding="utf-8") as file:
                    document = json.load(file)
                if not (isinstance(document, dict) and document.get("name") and document.get("version")):
                    continue
                readme = sorted(glob(os.path.join(os.path.dirname(path), "[Rr][Ee][Aa][Dd][Mm][Ee]*.md")))
                if readme:
                    with open(readme[0], encoding="utf-8", errors="replace") as file:
                        document["readme"] = file.read(60_000)
            except (OSError, ValueError):
                continue
            document.setdefault("description", "")
            found.setdefault((document["name"], document["version"]), document)
    return [found[key] for key in sorted(found)]


def pypi_documents():
    places = {p for p in sys.path if p.endswith("-packages")} | {"/usr/lib/python3/dist-packages"}
    places |= set(glob(sys.prefix + "/lib/python3*/site-packages"))
    found = {}
    for place in sorted(places):
        paths = glob(place + "/*.dist-info/METADATA") + glob(place + "/*.egg-info/PKG-INFO")
        for path in sorted(paths):
            with open(path, encoding="utf-8", errors="replace") as file:
                meta = email.message_from_file(file)
            body = meta.get_payload()
            info = {
                "name": meta["Name"], "version": meta["Version"], "summary": meta["Summary"],
                "author": meta["Author"], "author_email": meta["Author-email"], "license": meta["License"],
                "home_page": meta["Home-page"], "requires_python": meta["Requires-Python"],
                "keywords": meta["Keywords"], "classifiers": meta.get_all("Classifier", []),
                "requires_dist": meta.get_all("Requires-Dist"),
                "project_urls": dict(u.split(", ", 1) for u in meta.get_all("Project-URL", []) if ", " in u),
                "description_content_type": meta["Description-Content-Type"],
                "description": (body if isinstance(body, str) else "")[:60_000] or meta["Description"],
                "yanked": False, "yanked_reason": None,
            }
            # Header objects of undecodable fields are not strings; JSON wants strings.
            info = {k: v if isinstance(v, (list, dict, bool, type(None))) else str(v) for k, v in info.items()}
            if info["name"]:
                found.setdefault((info["name"].lower(), info["version"]), info)
    return [found[key] for key in sorted(found)]


def token(n, alphabet="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"):
    return "".join(R.choice(alphabet) for _ in range(n))


def cookies():
    jar = [f"session={token(43)}", f"csrftoken={token(64)}", f"_ga=GA1.2.{R.randrange(10**9, 2 * 10**9)}.{R.randrange(17 * 10**8, 18 * 10**8)}",
           "lang=" + R.choice(("en", "de", "fr", "es")), "theme=" + R.choice(("dark", "light")),
           "consent=" + quote(json.dumps({"analytics": R.random() < 0.5, "ads": False}), safe=""),
           "jwt=" + ".".join(base64.urlsafe_b64encode(token(n).encode()).decode().rstrip("=") for n in (27, 120, 32)),
           "last_seen=" + str(R.randrange(17 * 10**8, 18 * 10**8))]
    return "; ".join(jar[:R.randint(2, len(jar))])


def browser(referer, extra=()):
    return [["Host", "forum.example.com"], ["User-Agent", R.choice(AGENTS)],
            ["Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"],
            ["Accept-Language", R.choice(("en-GB,en;q=0.9,fr;q=0.8", "de-DE,de;q=0.9,en;q=0.7", "en-US,en;q=0.5"))],
            ["Accept-Encoding", "gzip, deflate, br"], ["Connection", "keep-alive"],
            ["Referer", "https://forum.example.com" + referer], ["Cookie", cookies()],
            ["Upgrade-Insecure-Requests", "1"], ["Sec-Fetch-Dest", "document"], ["Sec-Fetch-Mode", "navigate"],
            ["Sec-Fetch-Site", "same-origin"], ["Sec-Fetch-User", "?1"], *extra]


def transaction(name, method, uri, headers, body=b""):
    if body:
        headers = headers + [["Content-Length", str(len(body))]]
    return {"name": name, "label": "legit", "method": method, "uri": uri, "version": "1.1", "headers": headers,
            "body_b64": base64.b64encode(body).decode()}


def some(texts, n):
    """n paragraphs that follow one another, and the page they come from."""
    at = R.randrange(len(texts) - n)
    return texts[at][0], "\r\n\r\n".join(p.replace("\n", "\r\n") for _, p in texts[at:at + n])


def title(text):
    return " ".join(text.split()[:R.randint(4, 9)])


def form(number, texts):
    page, text = some(texts, R.randint(1, 4))
    person = R.choice(NAMES)
    topic = R.randrange(1, 90000)
    kind = R.choice(("post", "comment", "contact", "ticket"))
    if kind == "post":
        uri, fields = "/topic/new", [("forum", str(topic % 40)), ("title", f"{page}: {title(text)}"), ("message", text),
                                     ("tags", f"{page},debian,help"), ("subscribe", "on"), ("form_token", token(40))]
    elif kind == "comment":
        _, answer = some(texts, 1)
        quoted = "\r\n".join("> " + line for line in text.split("\r\n"))
        uri, fields = f"/topic/{topic}/reply", [("parent", str(topic + 3)), ("author", person),
                                                ("text", quoted + "\r\n\r\n" + answer), ("csrf", token(64))]
    elif kind == "contact":
        uri, fields = "/contact", [("name", person), ("email", f"user{topic}@example.org"), ("phone", f"+44 20 7946 {topic % 10000:04}"),
                                   ("subject", title(text)), ("message", text), ("privacy", "1")]
    else:
        uri, fields = f"/support/ticket?product={quote(page, safe='')}", [
            ("severity", R.choice(("low", "normal", "high"))), ("version", f"{topic % 9}.{topic % 20}.{topic % 7}"),
            ("summary", title(text)), ("steps", text), ("reporter", person), ("_method", "POST")]
    headers = browser(uri, [["Origin", "https://forum.example.com"], ["Content-Type", "application/x-www-form-urlencoded"]])
    return transaction(f"form-{kind}-{number}", "POST", uri, headers, urlencode(fields).encode())


def multipart(number, texts):
    page, text = some(texts, R.randint(1, 3))
    _, attached = some(texts, R.randint(3, 8))
    boundary = "----WebKitFormBoundary" + token(16)
    image = R.random() < 0.5
    content = bytes(R.getrandbits(8) for _ in range(R.randint(2000, 12000))) if image else attached.encode()
    name, kind = (f"holiday-{number}.jpg", "image/jpeg") if image else (f"{page}-notes.txt", "text/plain")
    name = name.replace('"', "").replace(";", "")
    body = b""
    for key, value in (("title", title(text)), ("message", text), ("author", R.choice(NAMES)), ("csrf", token(64))):
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
    body += f'--{boundary}\r\nContent-Disposition: form-data; name="attachment"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode()
    body += content + f"\r\n--{boundary}--\r\n".encode()
    headers = browser("/topic/new", [["Origin", "https://forum.example.com"], ["Content-Type", f"multipart/form-data; boundary={boundary}"]])
    return transaction(f"multipart-{'image' if image else 'text'}-{number}", "POST", f"/topic/{number}/attach", headers, body)


def call(number, documents, texts):
    registry, document = R.choice(documents)
    name, version = document["name"], document["version"]
    text = document.get("readme") or document.get("description") or ""
    sections = [s for s in re.split(r"(?m)^(?=#+ )|\n(?=\n)", text) if len(s) > 60]
    kind = R.choice(("publish", "metadata", "issue", "index", "review"))
    uri = f"/api/v1/{registry}/{quote(name, safe='')}/{kind}"
    if kind == "publish":
        sent = {"_id": f"{name}@{version}", "name": name, "versions": {version: document}, "dist-tags": {"latest": version},
                               "_attachments": {f"{name}-{version}.tgz": {"length": R.randrange(9999), "shasum": hashlib.sha1(name.encode()).hexdigest()}}}
    elif kind == "metadata":
        fields = sorted(k for k in document if k not in ("readme", "description"))
        sent = {k: document[k] for k in R.sample(fields, min(len(fields), R.randint(2, 9)))}
    elif kind == "issue":
        body = "\n".join(R.sample(sections, min(len(sections), 2))) if sections else some(texts, 2)[1]
        sent = {"title": f"{name} {version}: {title(body)}", "body": body, "labels": ["bug", registry], "assignee": None, "milestone": number % 12}
    elif kind == "index":
        batch = [R.choice(documents)[1] for _ in range(R.randint(2, 6))]
        sent = {"index": registry, "documents": [{"id": d["name"], "version": d["version"], "keywords": d.get("keywords"), "score": round(R.random(), 4),
                                                  "summary": d.get("summary") or d.get("description", "")[:400]} for d in batch]}
    else:
        at = R.randrange(len(sections)) if sections else 0
        sent = {"package": name, "rating": R.randint(1, 5), "author": {"name": R.choice(NAMES), "id": token(12)},
                "comment": some(texts, 1)[1], "quotes": sections[at:at + 1], "helpful": R.random() < 0.5}
    headers = [["Host", "api.example.com"], ["User-Agent", R.choice(CLIENTS)], ["Accept", "application/json"], ["Accept-Encoding", "gzip"],
               ["Authorization", "Bearer " + token(40)], ["Content-Type", R.choice(("application/json", "application/json; charset=utf-8"))]]
    return transaction(f"json-{kind}-{number}", "POST", uri, headers, json.dumps(sent, ensure_ascii=R.random() < 0.5).encode("utf-8", "replace"))


def search(number, texts):
    page, text = some(texts, 1)
    words = text.split()
    at = R.randrange(max(1, len(words) - 8))
    query = [("q", " ".join(words[at:at + R.randint(1, 8)])), ("page", str(R.randint(1, 9))), ("sort", R.choice(("relevance", "date_desc")))]
    if R.random() < 0.4:
        query.append(("section", page))
    if R.random() < 0.3:
        query += [("utm_source", "newsletter"), ("utm_campaign", "spring-2026"), ("next", f"/topic/{number}?view=last#post{number}")]
    return transaction(f"search-{number}", "GET", "/search?" + urlencode(query), browser("/"))


def sources():
    used, texts = debian_texts()
    npm, pypi = npm_documents(), pypi_documents()
    if len(texts) < 5000:
        skipped(f"only {len(texts)} paragraphs of manual pages and changelogs (apt-get install --reinstall manpages manpages-dev man-db)")
    if len(npm) < 50 or len(pypi) < 5:
        skipped(f"only {len(npm)} npm and {len(pypi)} Python packages' metadata (install npm; python3 -m pip install ...)")
    say(f"{len(texts)} paragraphs of {len(used)} Debian packages:", ", ".join(used))
    say(f"{len(npm)} npm packages below {', '.join(t for t in NPM if os.path.isdir(t))}; {len(pypi)} Python packages of {sys.prefix} and Debian")
    return texts, [("npm", d) for d in npm] + [("pypi", d) for d in pypi]


def make(seed, texts, documents, file):
    R.seed(seed)
    digest, count = hashlib.sha256(), 0
    for kind, source, number in ((form, (texts,), FORMS), (multipart, (texts,), MULTIPARTS), (call, (documents, texts), CALLS), (search, (texts,), GETS)):
        for n in range(number):
            line = json.dumps(kind(n, *source))
            digest.update(line.encode())
            print(line, file=file)
        count += number
    say(f"seed {seed}: {count} transactions, sha256 {digest.hexdigest()}")


def say(*words):
    print(*words, file=sys.stderr)


def score(path):
    total, stopped, rules = Counter(), Counter(), Counter()
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            answer = json.loads(line)
            kind = answer["name"].rsplit("-", 1)[0]
            total[kind] += 1
            if answer["verdict"] == "block" if "verdict" in answer else answer["status"] != 0:
                stopped[kind] += 1
                rules.update(set(answer.get("ids", ())))
    print(f"blocked {stopped.total()} of {total.total()} ({100 * stopped.total() / max(total.total(), 1):.2f} %)")
    for kind in sorted(total):
        print(f"  {kind} {stopped[kind]} of {total[kind]}")
    if rules:
        print("  rules in the blocked ones:", ", ".join(f"{rule} x{n}" for rule, n in rules.most_common(15)))


def main(args):
    if "--score" in args:
        score(args[args.index("--score") + 1])
    elif "--seeds" in args:
        seeds, folder = args[args.index("--seeds") + 1:][:2]
        texts, documents = sources()
        for seed in seeds.split(","):
            with open(os.path.join(folder, f"legitimate-{seed}.jsonl"), "w", encoding="utf-8") as file:
                make(int(seed), texts, documents, file)
    else:
        make(int(args[args.index("--seed") + 1]) if "--seed" in args else SEED, *sources(), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
