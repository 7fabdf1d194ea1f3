"""The words of the pages, in the language that a gettext catalogue gives.

English needs no catalogue: its texts are the message ids. Another language is a file
`FOLDER/<language>/LC_MESSAGES/report.mo`, made from `report.pot`; docs/report.md says how.
"""

from __future__ import annotations

import gettext
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pose.errors import PoseError

DOMAIN: Final = "report"
ENGLISH: Final = "en"
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(?:[_-][A-Za-z0-9]{2,8}){0,2}")
_PLACE: Final = re.compile(r"\{(\w+)\}")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_RIGHT_TO_LEFT: Final = frozenset({"ar", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"})


def N_(message: str) -> str:
    """Mark a message for the catalogue. It is translated where it is shown."""
    return message


# The codes and enumerated values of a result, in words.
VERDICTS: Final = {
    "good": N_("Good"),
    "usable": N_("Usable"),
    "repeat": N_("Scan again"),
    "none": N_("No verdict"),
}
POSTURES: Final = {"standing": N_("Standing"), "lying": N_("Lying"), "unknown": N_("Posture unknown")}
STATUSES: Final = {
    "completed": N_("Completed"),
    "failed": N_("Failed"),
    "cancelled": N_("Cancelled"),
    "queued": N_("Waiting"),
    "started": N_("In progress"),
    "progress": N_("In progress"),
}
FRAME_STATUSES: Final = {
    "ok": N_("one person found"),
    "no_person": N_("nobody found"),
    "several_persons": N_("several people found"),
    "invalid": N_("files cannot be read"),
}
QUALITY: Final = {
    "calibration": N_("picture or depth map does not fit the calibration"),
    "misaligned": N_("picture and depth map show different views"),
    "orientation": N_("not certain which way is up"),
    "step_mismatch": N_("another posture than the app was told"),
    "person_count": N_("not exactly one person"),
    "score": N_("joints hard to see"),
    "camera_pose": N_("the phone's position is unknown"),
    "camera_angle": N_("the phone is not held level"),
    "missing_depth": N_("much of the depth map is empty"),
    "no_depth": N_("no depth at the child"),
    "too_near": N_("too near"),
    "too_far": N_("too far away"),
}
JOINTS: Final = {
    "nose": N_("nose"),
    "left_eye": N_("left eye"), "right_eye": N_("right eye"),
    "left_ear": N_("left ear"), "right_ear": N_("right ear"),
    "left_shoulder": N_("left shoulder"), "right_shoulder": N_("right shoulder"),
    "left_elbow": N_("left elbow"), "right_elbow": N_("right elbow"),
    "left_wrist": N_("left wrist"), "right_wrist": N_("right wrist"),
    "left_hip": N_("left hip"), "right_hip": N_("right hip"),
    "left_knee": N_("left knee"), "right_knee": N_("right knee"),
    "left_ankle": N_("left ankle"), "right_ankle": N_("right ankle"),
}  # fmt: skip
TIMINGS: Final = {
    "estimate": N_("Find people"),
    "frames": N_("All frames: 3D, redaction, pictures"),
    "total": N_("Whole scan"),
}


class CatalogueError(PoseError, ValueError):
    """Raised when there is no catalogue of a language, or it cannot be read."""


@dataclass(frozen=True)
class Texts:
    """A language and its catalogue.

    Attributes:
        language: as the page's `lang` names it: `en`, `pt-BR`.
        catalogue: what translates message ids.
    """

    language: str
    catalogue: gettext.NullTranslations

    @property
    def direction(self) -> str:
        """The direction of writing: `ltr` or `rtl`."""
        return "rtl" if self.language.split("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"

    def of(self, message: str) -> str:
        """Return a message in this language; in English if the catalogue lacks it."""
        return self.catalogue.gettext(message) if message else ""

    def say(self, message: str, **values: object) -> str:
        """Return a message in this language, with values in place of their names.

        >>> Texts("en", gettext.NullTranslations()).say("{used} of {all} frames count", used=3, all=9)
        '3 of 9 frames count'
        """
        return _PLACE.sub(lambda place: str(values.get(place[1], place[0])), self.of(message))

    def word(self, words: dict[str, str], code: str) -> str:
        """Return the words for a code; the code itself if it is not known."""
        return self.of(words.get(code, code))

    def sentence(self, text: str) -> str:
        """Return a sentence of a result, such as a reason, in this language. Its numbers stay.

        >>> Texts("en", gettext.NullTranslations()).sentence("step back: 0.4 m")
        'step back: 0.4 m'
        """
        numbers = _NUMBER.findall(text)
        translated = self.of(message_of(text)).split("{}")
        if len(translated) != len(numbers) + 1:
            return text
        return "".join(part + number for part, number in zip(translated, [*numbers, ""], strict=True))


def message_of(text: str) -> str:
    """Return the message id of a sentence with numbers.

    >>> message_of("step back: 0.4 m")
    'step back: {} m'
    """
    return _NUMBER.sub("{}", text)


def load_texts(language: str = ENGLISH, folder: Path | None = None) -> Texts:
    """Load the words of a language.

    Args:
        language: such as `en`, `sw` or `pt-BR`.
        folder: that of the catalogues; not needed for English.

    Raises:
        CatalogueError: there is no catalogue of this language, or it cannot be read.
    """
    if not _LANGUAGE.fullmatch(language):
        raise CatalogueError("the language is no name such as en, sw or pt-BR")
    tag = language.replace("_", "-")
    if folder is None and tag == ENGLISH:
        return Texts(ENGLISH, gettext.NullTranslations())
    if folder is None:
        raise CatalogueError(f"{tag} needs a folder with {tag}/LC_MESSAGES/report.mo")
    try:
        catalogue = gettext.translation(DOMAIN, folder, [language.replace("-", "_"), tag])
    except FileNotFoundError:
        if tag == ENGLISH:
            return Texts(ENGLISH, gettext.NullTranslations())
        raise CatalogueError(f"no catalogue of {tag}, expected {tag}/LC_MESSAGES/report.mo") from None
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise CatalogueError(
            f"the catalogue of {tag} cannot be read ({type(error).__name__}); make it again with msgfmt"
        ) from None
    return Texts(tag, catalogue)
