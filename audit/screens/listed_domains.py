"""Sites and pages of lists, such as the UT1 categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit import domains
from audit.domain_lists import KEY, PACKAGED, domain_list
from audit.errors import ConfigurationError
from audit.list_files import DIGESTS, digests
from audit.model import ScreenResult
from audit.screens import ScreenContext


@dataclass(frozen=True)
class ListedDomains:
    """Whether a document's address is on a list of sites (adult, gambling …): a weak signal, not toxicity.

    Measures ``category``, that of the longest entry which is the page, the host or a parent of the host
    (null: on no list), and ``flagged``, whether there is one. A document without an address is not evaluated.

    The package brings a **sample** of the lists of Université Toulouse 1 Capitole (UT1, CC BY-SA 4.0; see
    ``audit/lexicon_data``): at most 3,000 entries each of adult pages, dating, drugs, gambling, hacking and
    warez; and the adult hosts of the domain classification. What they miss is most: a low share says little.
    For an audit, fetch the full lists (https://dsi.ut-capitole.fr/blacklists/) and name their files.

    Lists of your own have UT1's form: an entry a line, a domain or the beginning of an address, ``#`` begins
    a comment line. The category is the file's name up to its first dot (``adult.txt``) or, of files named
    ``domains`` or ``urls``, the folder's (``adult/domains``). An entry of two categories belongs to the first
    list; yours come first.

    Args:
        lists: Files of your own lists.
        packaged: Whether the packaged lists are used, too.
        ignored: Categories that are not looked at.
    """

    lists: tuple[str, ...] = ()
    packaged: bool = True
    ignored: tuple[str, ...] = ()

    name: ClassVar[str] = "listed_domains"
    version: ClassVar[str] = "1"
    measures: ClassVar[Mapping[str, pa.DataType]] = {"category": pa.string(), "flagged": pa.bool_()}
    needs: ClassVar[tuple[str, ...]] = ()
    uses_key: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.lists and not self.packaged:
            raise ConfigurationError("there is no list to look for", key=KEY)

    def resources(self) -> Mapping[str, str]:
        """Digests of the lists.

        Raises:
            ConfigurationError: A file cannot be read.
        """
        ours = {PACKAGED: f"sha256:{DIGESTS[PACKAGED]}", "domains.yaml": f"sha256:{domains.digest()}"}
        return {**(ours if self.packaged else {}), **digests(self.lists, KEY)}

    def measure(self, batch: pa.RecordBatch, context: ScreenContext) -> ScreenResult:  # noqa: ARG002
        """Look each address up.

        Raises:
            ConfigurationError: A list cannot be read.
            FatalError: The packaged list is not the one whose digest the program names.
        """
        found, has_host = domain_list(self.lists, self.packaged).classify(batch.column("url"))
        if self.ignored:
            found = pc.if_else(pc.is_in(found, value_set=pa.array(self.ignored, pa.string())), None, found)
        flagged = pa.array(np.asarray(found.is_valid()), pa.bool_(), mask=~has_host)
        valid = np.asarray(batch.column("url").is_valid())
        reasons = {
            row: "skipped: the address has no host" if valid[row] else "skipped: no address"
            for row in np.flatnonzero(~has_host).tolist()
        }
        return ScreenResult({"category": found, "flagged": flagged}, not_evaluated=reasons)
