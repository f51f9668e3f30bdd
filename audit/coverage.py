"""How much of a corpus was read at all, and so how much of it nobody can vouch for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Coverage:
    """How much of the corpus was screened at all.

    Attributes:
        screened, rejected: Documents (records).
        shards, failed_shards: All, and those that gave nothing.
        unread_share: Share of the bytes that could not be read.
        left_out_share: Share of the bytes in files of folders that no source reads.
        max_unscreened: Largest share of records or of bytes, rejected or unread, that a GO allows.
    """

    screened: int
    rejected: int = 0
    shards: int = 1
    failed_shards: int = 0
    unread_share: float = 0.0
    left_out_share: float = 0.0
    max_unscreened: float = 0.0

    @property
    def rejected_share(self) -> float:
        """Of the records that were read, those that should be documents and could not be screened."""
        records = self.screened + self.rejected
        return self.rejected / records if records else 0.0

    @property
    def failed_share(self) -> float:
        """Of the shards, those that gave nothing: one of which not even the size is known has no bytes."""
        return self.failed_shards / self.shards if self.shards else 0.0

    @property
    def unread_mass(self) -> float:
        """Share of the corpus that nobody has looked at, were documents in it like the others in size.

        Bytes stand for documents where nothing was read; of the two ways to count shards that were not
        read, by bytes and by number, the larger counts.
        """
        missing = max(self.unread_share, self.failed_share)
        return 1.0 - (1.0 - self.rejected_share) * (1.0 - missing) * (1.0 - self.left_out_share)

    def obstacle(self) -> str | None:
        """Why no GO is possible, or None."""
        if self.shards == 0 or self.failed_shards >= self.shards:
            return f"none of {self.shards:,} shards could be read"
        if self.screened == 0:
            return "no document was screened"
        shares = (
            (self.rejected_share, "records were rejected"),
            (self.unread_share, "bytes were not read"),
            (self.failed_share, "shards could not be read"),
            (self.left_out_share, "bytes are in files of unknown format (list them under corpus.ignore)"),
        )
        for share, what in shares:
            if share > self.max_unscreened:
                allowed = f"{100 * self.max_unscreened:.3g}%"
                return f"{100 * share:.3g}% of the {what}, more than the {allowed} allowed"
        return None
