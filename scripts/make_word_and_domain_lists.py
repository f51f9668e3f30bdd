"""Makes audit/lexicon_data: ``python scripts/make_word_and_domain_lists.py DATA``.

DATA holds ``lists_and_fixtures.tar.gz`` with the LDNOOBW word lists and samples of the UT1 domain lists. The
same data give the same bytes. What is left out and why stands in audit/lexicon_data/README.md.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import tarfile
from pathlib import Path

TARGET = Path(__file__).parent.parent / "audit" / "lexicon_data"

#: Languages that the language screen knows under another code, or does not know.
RENAMED = {"fil": "tl", "fr-CA-u-sd-caqc": "fr"}
UNKNOWN = {"kab", "tlh", "LICENSE", "README.md"}

#: Entries that demean groups of people; all others are sexual or obscene. Our reading of the lists.
HATE = {
    "en": """beaner beaners bulldyke coon coons darkie fag faggot honkey jigaboo jiggaboo jiggerboo kike mong
        negro neonazi nig_nog nigga nigger paki pikey poof raghead shemale slanteye spastic spic swastika
        towelhead tranny wetback white_power""",
    "de": "bimbo kampflesbe kanake neger nigger schwuchtel",
    "es": "Bollera Marica Maricón Mariconazo Nazi Racista",
    "fr": "gouine grande_folle nègre negro nique_ta_race pédale pédé tapette",
    "it": """arrusa arruso bucaiolo budiùlo busone checca culattina culattone finocchio frocio froscio
        recchione terrone""",
    "nl": "flikker mof nicht reetridder tapijtnek",
    "pt": "bicha paneleiro veado",
    "ru": "chernozhopyi pedik хохол",
    "sv": "neger nigger",
    "no": "nigger pakkis svartheiteste",
    "pl": "ciota",
    "ja": "オカマ ニガー ネオ・ナチ ホモ",
}
#: Neutral names of groups and everyday words: to list them would flag those who are spoken of.
NEUTRAL = {
    "es": "Drogas Heroína infierno martillo Trio Asesinato",
    "it": "balle fava monta montare nave_scuola palle pesce pisello quaglia regina spagnola tirare vangare",
    "ja": "レズビアン ラティーナ 両性 デブ ファンタジー フック 女の子 人種 殺人事件",
    "nl": "anita balen de_ballen hol knor matje muts pot palen poot reet wijf",
    "no": "fan",
    "pl": "jajko",
    "pt": """aborto amador aranha ariano bissexual burro cerveja cocaína comer heroína heterosexual
        homoerótico homosexual homem_gay inferno lésbica mama pau pinto saco torneira""",
    "ru": "bugor byk gol бугор другой_дразнится какая_разница мент",
    "sv": "fan hård helvete stake sås satan",
    "en": "domination escort eunuch octopussy skeet tainted_love how_to_kill how_to_murder big_black",
    "fr": "bande bigornette folle gueule ramoner tanche",
}
#: Initials and sizes.
TOO_SHORT = {"s&m", "s ＆ m", "sm", "xx", "3p"}
#: Of UT1: what bears on adult content and on what else a policy may bar. Press and fake news are opinions.
CATEGORIES = {
    "adult": "adult",
    "dating": "dating",
    "drogue": "drugs",
    "gambling": "gambling",
    "hacking": "hacking",
    "warez": "warez",
}


def main() -> None:
    """Write both files."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tarfile.open(Path(sys.argv[1]) / "lists_and_fixtures.tar.gz") as archive:
        words = word_lists(archive)
        domains = domain_lists(archive)
    write("ldnoobw.json.gz", {"source": "LDNOOBW/List-of-Dirty-Naughty-Obscene-and-Otherwise-Bad-Words",
                              "commit": "5faf2ba42d", "licence": "CC-BY-4.0", "lists": words})  # fmt: skip
    write("ut1.json.gz", {"source": "UT1 blacklists, Université Toulouse 1 Capitole, by olbat/ut1-blacklists",
                          "commit": "804da92a91", "licence": "CC-BY-SA-4.0", "lists": domains})  # fmt: skip


def word_lists(archive: tarfile.TarFile) -> list[dict[str, object]]:
    """Entries of LDNOOBW by language and category."""
    found: dict[tuple[str, str], set[str]] = {}
    for name in sorted(archive.getnames()):
        folder, _, code = name.partition("/")
        if folder != "ldnoobw" or not code or code in UNKNOWN:
            continue
        language = RENAMED.get(code, code)
        hate, neutral = _set(HATE, language), _set(NEUTRAL, language)
        for line in _lines(archive, name):
            if not is_left_out(line) and line not in neutral:
                found.setdefault((language, "hate" if line in hate else "adult"), set()).add(line)
    return [
        {"language": language, "category": category, "entries": sorted(entries)}
        for (language, category), entries in sorted(found.items())
    ]


def is_left_out(entry: str) -> bool:
    """Whether an entry would be found all over ordinary text, or nowhere."""
    return sum(c.isalpha() for c in entry) < 2 or entry.lower() in TOO_SHORT


def domain_lists(archive: tarfile.TarFile) -> list[dict[str, object]]:
    """Entries of UT1 by category."""
    lists = []
    for theirs, ours in sorted(CATEGORIES.items()):
        entries: set[str] = set()
        for kind in ("domains", "urls"):
            name = f"ut1/{theirs}.{kind}"
            if name in archive.getnames():
                entries.update(line.lower().rstrip("/") for line in _lines(archive, name))
        lists.append({"category": ours, "entries": sorted(entries)})
    return lists


def write(name: str, content: dict[str, object]) -> None:
    """Write a file and print its digest."""
    data = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    compressed = gzip.compress(data, 9, mtime=0)
    (TARGET / name).write_bytes(compressed)
    counts = {
        f"{row.get('language', '')} {row['category']}".strip(): len(row["entries"])
        for row in content["lists"]
    }  # type: ignore[attr-defined]
    print(name, len(compressed), hashlib.sha256(compressed).hexdigest(), counts)


def _lines(archive: tarfile.TarFile, name: str) -> list[str]:
    opened = archive.extractfile(name)
    if opened is None:
        sys.exit(f"{name} is not a file in the archive")
    return sorted({line.strip() for line in opened.read().decode("utf-8", "replace").splitlines()} - {""})


def _set(table: dict[str, str], language: str) -> set[str]:
    return {word.replace("_", " ") for word in table.get(language, "").split()}


if __name__ == "__main__":
    main()
