"""Texts that break programs: each is data, and nothing else."""

# What a script in them would do, if one ran.
MARK = "naughty"
RUN = f"window.{MARK}=1"

SCRIPTS = [
    f"<script>{RUN}</script>",
    f'"><img src=x onerror={RUN}>',
    f"'><svg onload={RUN}>",
    f"<iframe srcdoc='<script>parent.{MARK}=1</script>'>",
    f"<a href='javascript:{RUN}'>x</a>",
    f"<style>*{{background:url('//{MARK}.example')}}</style>",
    f"<base href='//{MARK}.example'>",
    "<!--",
    "]]>",
    "</textarea></title></script>",
    "&lt;b&gt;&amp;&#x3c;&NewLine;",
    f"{{{{constructor.constructor('{RUN}')()}}}}",
    "{% for x in y %}{{ 7*7 }}${7*7}#{7*7}<%= 7*7 %>",
]
COMMANDS = [
    "'; drop table documents; --",
    "' or '1'='1",
    '" or ""="',
    "%s %(id)s {0} {name} %n%n%n",
    "100% _under_ like%",
    "$(touch naughty) `id` ; | & > <",
    "-rf --help",
    "=cmd|' /C calc'!A0",
    "__proto__",
    "constructor",
    "null",
    "undefined",
    "NaN",
    "true",
    "0",
    "-1",
    "1e999",
    "\\u0000 \\x00 %00 \\n",
    "$1 \\1 $& \\g<0>",
    "a:b=c,d;e~f^g",
]
LETTERS = [
    "Ünïcödé 漢字 ελληνικά русский עברית العربية",
    "e\u0301",
    "ﬀ ﬁ ½ ①",
    "İıſK",  # noqa: RUF001 - letters that change when their case does
    "👩\u200d👩\u200d👧\u200d👦 🏴\u200d☠️ 🇦🇽",
    "z\u0300\u0301\u0302\u0303\u0304\u0305 zalgo",
    "a\u200bb\u200cc\u200dd\ufeffe",
    "\u00a0 \u2003 x \u3000",
    "\ue000\uf8ff\U0010fffd",
    "\ufffd \uffff",
    "x" * 200,
]
TURNED = ["\u202egnp.exe", "\u2066abc\u2069", "line\u2028separator"]
BROKEN_LINES = [
    "a\r\nSet-Cookie: naughty=1",
    "a\nb",
    "a\rb",
    "tab\there",
    "bell\x07",
    "\x7f\x9b31m",
]
PATHS = ["../../etc/passwd", "/etc/passwd", "..\\..\\x", "C:\\Windows\\x", "a/b", ".", "..", " "]

# As any text; as the name of a file some of them are refused.
TEXTS = [*SCRIPTS, *COMMANDS, *LETTERS, *TURNED, *BROKEN_LINES, *PATHS[:-1]]
NAMES = [text for text in [*SCRIPTS, *COMMANDS, *LETTERS] if not set(text) & set("/\\")]
NO_NAMES = [*TURNED, *BROKEN_LINES, *PATHS, "\0", "x" * 256, "ü" * 128, "a" * 10_000]
