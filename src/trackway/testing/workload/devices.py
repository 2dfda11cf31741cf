"""What the devices of the workload are like: browser, screen, language, address, anonymous id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trackway.testing.workload.agents import AGENTS, BOTS, Agent
from trackway.testing.workload.dice import Dice, Ints, Words

#: Language, time zone and how many people have them.
PLACES = (
    ("en-US", "America/New_York", 30),
    ("de-DE", "Europe/Berlin", 22),
    ("en-GB", "Europe/London", 12),
    ("fr-FR", "Europe/Paris", 10),
    ("es-ES", "Europe/Madrid", 8),
    ("pt-BR", "America/Sao_Paulo", 7),
    ("ja-JP", "Asia/Tokyo", 6),
    ("ne-NP", "Asia/Kathmandu", 3),
    ("en-AU", "Australia/Adelaide", 2),
)
#: Screen and view port, three of each kind of device.
SCREENS = (
    ("1920x1080", "1905x953"),
    ("2560x1440", "2543x1305"),
    ("1440x900", "1425x789"),
    ("390x844", "390x664"),
    ("412x915", "412x785"),
    ("360x800", "360x660"),
    ("820x1180", "820x1106"),
    ("800x1280", "800x1183"),
    ("768x1024", "768x954"),
)
_KINDS = ("desktop", "phone", "tablet")
#: Browsers, then bots.
ALL_AGENTS: tuple[Agent, ...] = (*AGENTS, *BOTS)
#: The network 198.18.0.0/15, set aside for benchmarks (RFC 2544); bots use 203.0.113.0/24, set
#: aside for documentation (RFC 5737).
_PEOPLE_NETWORK, _PEOPLE_ADDRESSES = (198 << 24) + (18 << 16), 1 << 17
_BOTS_NETWORK = (203 << 24) + (0 << 16) + (113 << 8)

_FIRST_SCREEN = np.array([3 * _KINDS.index(agent.device) for agent in AGENTS] + [0] * len(BOTS))
_WEIGHTS = np.array([agent.weight for agent in AGENTS])
_PLACE_WEIGHTS = np.array([float(weight) for _, _, weight in PLACES])


@dataclass(frozen=True)
class Devices:
    """Devices, one item in each array."""

    agent: Ints  # in ALL_AGENTS
    place: Ints  # in PLACES
    screen: Ints  # in SCREENS
    address: Ints  # IPv4, as a number
    id_high: Words  # the anonymous id; crawlers send none
    id_low: Words

    @classmethod
    def of(cls, dice: Dice, device: Ints) -> Devices:
        """The devices of these numbers; below 0 are crawlers."""
        is_bot = device < 0
        agent = dice.choice("agent", device, _WEIGHTS)
        agent = np.where(is_bot, len(AGENTS) + device % len(BOTS), agent)
        address = _PEOPLE_NETWORK + dice.below("address", device, _PEOPLE_ADDRESSES)
        high, low = uuid_words(dice, "device id", device)
        return cls(
            agent=agent,
            place=dice.choice("place", device // 2, _PLACE_WEIGHTS),
            screen=_FIRST_SCREEN[agent] + dice.below("screen", device, 3),
            address=np.where(is_bot, _BOTS_NETWORK - device, address),
            id_high=high,
            id_low=low,
        )


def uuid_words(dice: Dice, purpose: str, index: Ints) -> tuple[Words, Words]:
    """The upper and the lower half of a UUID of version 4 for each index (RFC 9562)."""
    high = dice.words(purpose, index)
    low = dice.words(f"{purpose}, lower half", index)
    high = high & np.uint64(0xFFFFFFFFFFFF0FFF) | np.uint64(0x4000)
    low = low & np.uint64(0x3FFFFFFFFFFFFFFF) | np.uint64(0x8000000000000000)
    return high, low


def uuid_texts(high: Words, low: Words) -> list[str]:
    """UUIDs from their halves, as text."""
    h = np.stack((high, low), axis=1).astype(">u8").tobytes().hex()
    return [
        f"{h[i : i + 8]}-{h[i + 8 : i + 12]}-{h[i + 12 : i + 16]}-{h[i + 16 : i + 20]}"
        f"-{h[i + 20 : i + 32]}"
        for i in range(0, len(h), 32)
    ]


def address_text(address: int) -> str:
    """An IPv4 address in dotted form."""
    return f"{address >> 24}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
