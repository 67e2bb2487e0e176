#!/usr/bin/env python3
"""The pattern of text whose quotes stand in pairs as a writer sets them: `"a" or 'b'`, `x', "=" is.

An injection closes a quote that the text before it opened, so that its quotes do not pair up. Several rules let a value
pass, or count it as a weak sign, that reads so. SecLang has no macros, hence the pattern stands in each of them; this
script is where it is understood and changed.

usage: quotes.py            names the rules whose pattern is not as below
       quotes.py --write    writes it into them
"""
import re
import sys
from pathlib import Path

RULES = Path(__file__).resolve().parent.parent
HEAD = r"(?i)^(?:(?:[^\x22\x27`\n"
# What a value may not hold besides, and whether an apostrophe alone (`doesn't`) is enough.
FORMS = (("", False), ("", True), ("<", False), ("<>=!", False), (r"(\[", False))


def pattern(without="", apostrophe=False):
    def piece(quote):
        """No blank at either end, and a letter or digit near the beginning."""
        return rf"{quote}(?:[^{quote}\s\w{without}][^{quote}\n\w{without}]{{0,5}})?\w(?:[^{quote}\n{without}]*[^{quote}\s{without}])?{quote}"

    contraction = r"[a-z0-9]\x27(?:s|t|re|ve|ll|d|m)\b"
    code = rf"`{{1,2}}[^`\x27\s{without}](?:[^`\x27\n{without}]*[^`\x27\s{without}])?(?:`{{1,2}}|\x27{{1,2}})"
    sign = rf"[\x22\x27] ?[^\x22\x27\s\w{without}]{{1,4}}[\x22\x27]"
    double = rf"\x22 ?[^\x22\x27\s\w{without}]{{1,4}}\x22"
    # `'='` is an attack; a sign that someone writes about has words beside it, or stands in a list or a call. After
    # `or` and `and` two words are wanted, which SQL has no use for without an operator.
    words = r"\(?(?:[b-np-z][a-z]+|[a-z]{5,}|(?:a[st]|in|by)\b|(?:or|and|an?) [a-z]+,? [a-z]+)"
    signs = "|".join((rf"{sign}[),.;:]{{0,2}} {words}", rf"[a-z]+,? [a-z]+[.,:]? \(?{sign}", rf"\({sign}[),]", rf"(?:[a-z]{{2,}}[,.:]? )?{sign}[).,;:]{{1,2}}(?:$|[^\s\x22\x27\w-])", rf"[a-z0-9_.]+\({sign},",
                      rf"{sign}, {sign}", rf"[a-z]{{2,}}[,.:]? {sign} (?:and|or) [a-z]+",
                      rf"[a-z]{{2,}}[,.:]? \(?{double}", rf"{double}[),.;:]{{0,2}} \(?[a-z]{{2,}}",
                      r"` ?[^`\x27\s]{0,3}\x27"))
    quoted = rf"(?:{piece(chr(92) + 'x22')}|{piece(chr(92) + 'x27')}|{code}|{signs})"
    plain = rf"(?:[^\x22\x27`\n{without}]|{contraction})*"
    before = "[" + "".join(c for c in (r"\s", "(", r"\[", "{", "=", ",", ":", "/", "<") if c not in without) + "]"
    after = r"[\s)\]}>,.;:?!_]"
    # The text may break off inside of a last piece, or inside of the value of an option.
    broken = rf"(?:{after}(?:{plain}[\s(])?[\x22\x27`][\w<$%/.-][^\x22\x27`\n{without}]*)?"
    option = "" if without else r"(?:\s--?[a-z-]+=[\x22\x27][^\x22\x27\s][^\x22\x27]*)?"
    alone = rf"|^{plain}{contraction}{plain}$" if apostrophe else ""
    return rf"(?i)^(?:{plain}{before})?{quoted}(?:{after}(?:{plain}{before})?{quoted})*(?:{broken}|(?:{after}{plain})?){option}${alone}"


def main():
    wanted = {pattern(*form) for form in FORMS}
    kinds = {(re.match(r"[^|]*?\]", p[len(HEAD) - 4:])[0], "|^" in p[-200:]): p for p in wanted}
    stale = 0
    for path in sorted(RULES.glob("*.conf")):
        text = path.read_text(encoding="utf-8")
        for found in set(re.findall(r'"!@rx (' + re.escape(HEAD) + r'.*)" (?:\\|")', text)) - wanted:
            stale += 1
            print(f"{path.name}: a pattern of quotes in pairs is not as {Path(__file__).name} has it")
            key = (re.match(r"[^|]*?\]", found[len(HEAD) - 4:])[0], "|^" in found[-200:])
            text = text.replace(found, kinds[key])
        if "--write" in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--write" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
