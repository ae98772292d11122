"""Task families: each makes prompts, and for a prompt answers of a wanted quality with known attributes.

Objective families have a right answer: `good` says whether to write it. Subjective ones have none: `good` is ignored
and the answers differ in tone, caution, detail or in how well their register fits the occasion.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from plurality.synthetic.writing import Answer, dress, some_tones

Kind = Literal["objective", "subjective"]
_LEADS = ("", "", "Quick question: ", "Hi there. ", "For a quiz: ", "Please tell me: ", "One thing: ", "Help me out. ")
_CAPITALS = {
    "France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Egypt": "Cairo", "Greece": "Athens",
    "Norway": "Oslo", "Sweden": "Stockholm", "Peru": "Lima", "Cuba": "Havana", "Kenya": "Nairobi", "Austria": "Vienna",
    "Poland": "Warsaw", "Hungary": "Budapest", "Portugal": "Lisbon", "Ireland": "Dublin", "Finland": "Helsinki",
    "Chile": "Santiago", "China": "Beijing", "Russia": "Moscow", "Germany": "Berlin", "Denmark": "Copenhagen",
}  # fmt: skip
_SENSES = {
    "bees": ("make honey", "visit flowers"), "cows": ("eat grass", "give milk"), "owls": ("hunt at night", "catch mice"),
    "fish": ("swim in water", "breathe through gills"), "dogs": ("bark at strangers", "chase balls"),
    "bakers": ("bake bread", "work with flour"), "doctors": ("treat patients", "work in hospitals"),
    "farmers": ("grow crops", "drive tractors"), "pilots": ("fly planes", "watch the weather"),
    "teachers": ("teach classes", "grade homework"), "painters": ("mix colours", "paint pictures"),
    "birds": ("build nests", "lay eggs"), "sailors": ("sail ships", "tie knots"), "judges": ("hear cases", "rule in court"),
}  # fmt: skip
_TOPICS = {
    "a cake": ("Mix flour, eggs and sugar and bake it for forty minutes.", "Cream the butter, fold in flour, then bake."),
    "a garden": ("Dig compost into the soil and plant in spring.", "Start with herbs, and water them in the morning."),
    "a bicycle": ("Oil the chain and pump up both tyres.", "Check the brakes, then tighten every bolt."),
    "a speech": ("Open with a story and practise it aloud.", "Write three points and rehearse them twice."),
    "a budget": ("List your income, then what you spend each month.", "Track expenses and set aside savings first."),
    "a dog": ("Walk it twice a day and feed it at fixed times.", "Train it with treats and plenty of patience."),
    "a guitar": ("Tune the strings and practise simple chords.", "Learn three chords and change strings each year."),
    "a room": ("Sand the walls, then paint two thin coats.", "Cover the floor and paint the ceiling first."),
    "a tent": ("Pitch it on flat ground and peg the corners.", "Dry it before packing so that it does not mould."),
    "an exam": ("Review your notes daily and solve old papers.", "Sleep well and plan an hour for each chapter."),
}  # fmt: skip
_FRUIT = [
    "apples", "pears", "plums", "grapes", "figs", "cherries", "melons", "kiwis", "mangoes", "peaches", "lemons",
    "limes", "dates", "berries",
]  # fmt: skip
_TOOLS = [
    "hammers", "saws", "drills", "pliers", "files", "chisels", "planes", "levels", "clamps", "wrenches", "rakes",
    "spades", "hoes", "axes",
]  # fmt: skip
_TRIPS = ("hiking in the Alps", "diving off the coast", "a road trip alone", "a night train", "sailing for a week",
          "winter camping", "a desert tour", "cycling to the sea", "a market tour", "kayaking down a river")  # fmt: skip
_MONEY = ("my savings", "a small bonus", "an old flat", "a first job offer", "a side business", "a loan", "a used car",
          "shares of my firm")  # fmt: skip
_NAMES = ("boss", "landlord", "bank", "professor", "mayor", "best friend", "little brother", "flatmate", "cousin",
          "old school mate")  # fmt: skip
_FORMAL_TO = 5
_EVENTS = ("the late rent", "a missed meeting", "the broken window", "a lost key", "a birthday", "the new plan",
           "a holiday", "the noise last night", "a small favour", "the weekend", "an overdue book")  # fmt: skip
_WHYS = {
    "the sky is blue": ("Air scatters blue light most.", "Short blue waves bounce off air far more than red ones, so blue reaches us from everywhere."),
    "bread rises": ("Yeast makes gas.", "Yeast eats sugar and gives off gas, which the stretchy dough traps in bubbles while it warms."),
    "ice floats": ("Ice is lighter than water.", "Frozen water forms an open lattice, takes more room, and so weighs less than what it displaces."),
    "leaves fall": ("Trees save water in winter.", "As days shorten trees draw back what they can use, seal the stems, and let the leaves go."),
    "we yawn": ("Nobody is quite sure.", "It may cool the brain or wake us up; it spreads because we copy the faces that we see."),
    "cats purr": ("They are calm, or soothe themselves.", "Muscles in the throat twitch as air passes, when they are content and also when they heal."),
    "the sea is salty": ("Rivers bring salt to it.", "Rain wears salt out of rocks, rivers carry it down, and only the water leaves again as vapour."),
    "metal rusts": ("Iron reacts with wet air.", "Iron gives electrons to oxygen where water helps them move, and crumbly oxide grows outwards."),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Task:
    """One prompt, and how to answer it."""

    prompt: str
    answer: Callable[[random.Random, bool], Answer]
    """Writes an answer; the flag asks for the right one where there is such a thing."""


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of task."""

    name: str
    kind: Kind
    make: Callable[[random.Random], Task]


def _objective(rng: random.Random, prompt: str, right: list[str], wrong: list[str]) -> Task:
    def answer(dice: random.Random, good: bool) -> Answer:
        core = dice.choice(right if good else wrong)
        return dress(dice, core, some_tones(dice), correct=1.0 if good else 0.0)

    return Task(rng.choice(_LEADS) + prompt, answer)


def _capital(rng: random.Random) -> Task:
    land, city = rng.choice(sorted(_CAPITALS.items()))
    other = rng.choice(sorted(set(_CAPITALS.values()) - {city}))
    ask = rng.choice((
        "What is the capital of {}?", "Which city is the capital of {}?", "Name the capital of {}.", "Where does the government of {} sit?",
        "I forgot the capital of {}.", "{}: what is its capital city?", "Can you name the capital of {}?",
    )).format(land)  # fmt: skip
    fill = ("{} is the capital of {}.", "The capital is {}.", "It is {}, in {}.", "{} it is.", "That would be {}.")
    return _objective(rng, ask, [f.format(city, land) for f in fill], [f.format(other, land) for f in fill])


def _sense(rng: random.Random) -> Task:
    who = rng.choice(sorted(_SENSES))
    other = rng.choice(sorted(set(_SENSES) - {who}))
    ask = rng.choice(("What do {} do?", "What are {} known for?", "Tell me something that {} do.", "Describe a day of {}.",
                      "What is typical of {}?", "Name something {} do a lot.")).format(who)  # fmt: skip
    forms = ("They {}.", "Mostly they {}.", "{} usually {}.", "You will see that they {}.", "Each day they {}.")

    def said(facts: tuple[str, str]) -> list[str]:
        return [
            form.format(*([who.capitalize(), fact] if form.startswith("{}") else [fact]))
            for form in forms
            for fact in facts
        ]

    return _objective(
        rng,
        ask + rng.choice(("", " Be brief.", " In one line.", " My son asks.")),
        said(_SENSES[who]),
        said(_SENSES[other]),
    )


def _topic(rng: random.Random) -> Task:
    topic = rng.choice(sorted(_TOPICS))
    other = rng.choice(sorted(set(_TOPICS) - {topic}))
    ask = rng.choice(("How do I get started with {}?", "Any advice on {}?", "I need help with {}.", "What should I know about {}?",
                      "Tell me how to handle {}.", "Two tips about {}, please.", "My aunt wants help with {}.")).format(topic)  # fmt: skip
    evasive = ["I would rather not go into that.", "There is much to say about many things.", "Somebody else may know."]
    return _objective(rng, ask, list(_TOPICS[topic]), [*_TOPICS[other], *rng.sample(evasive, 1)])


def _count(rng: random.Random) -> Task:
    things, noun = rng.choice(((_FRUIT, "fruits"), (_TOOLS, "tools")))
    wanted = rng.choice((2, 3, 4))
    ask = rng.choice(
        ("Name exactly {} {}.", "List {} {}, no more and no fewer.", "Give me {} {}.", "I need {} {} for a list.")
    )
    word = {2: "two", 3: "three", 4: "four"}[wanted]
    tail = rng.choice(("", " It is for a game.", " Any will do.", " Choose freely.", " I cannot think of any."))

    def lists(sizes: list[int]) -> list[str]:
        return [", ".join(rng.sample(things, size)).capitalize() + "." for size in sizes]

    others = [size for size in (1, 2, 3, 4, 5, 6) if abs(size - wanted) in {1, 2}]
    return _objective(rng, ask.format(word, noun) + tail, lists([wanted] * 4), lists(others))


def _sum(rng: random.Random) -> Task:
    a, b = rng.randint(2, 40), rng.randint(2, 40)
    thing = rng.choice(("apples", "coins", "stamps", "books", "marbles"))
    ask = rng.choice(
        ("What is {} plus {}?", "Add {} and {}.", "I have {} {t} and get {} more. How many {t} now?")
    ).format(a, b, t=thing)
    slip = rng.choice((-10, -2, -1, 1, 2, 10))
    forms = ("{}.", "It is {}.", "That makes {}.", "The sum is {}.", "You get {}.")
    return _objective(rng, ask, [f.format(a + b) for f in forms], [f.format(a + b + slip) for f in forms])


def _advice(rng: random.Random) -> Task:
    trip = rng.choice(_TRIPS + _MONEY)
    ask = rng.choice(("Should I go for {}?", "What do you think of {}?", "I am torn about {}.", "Is now the time for {}?",
                      "Talk to me about {}.", "Would you risk {}?", "My plan involves {}. Thoughts?")).format(trip)  # fmt: skip
    careful = ("Wait, check the risks and keep a way back.", "Start small, and insure what you cannot lose.", "Only with a guide and a plan for trouble.",
               "Sleep on it, then ask someone who has done it.", "Set a limit first and stick to it.")  # fmt: skip
    bold = ("Go for it now, you only live once.", "Jump in, you will learn as you go.", "Put everything on it and do not look back.",
            "Ignore the doubters and start today.", "Take the leap, rules are for others.")  # fmt: skip
    middle = (
        "It depends on what you enjoy.",
        "Some love it and some do not.",
        "Weigh what you gain against what you give.",
    )

    def answer(dice: random.Random, good: bool) -> Answer:
        del good
        level = dice.choice((-1.0, 0.0, 1.0))
        core = dice.choice({-1.0: bold, 0.0: middle, 1.0: careful}[level])
        return dress(dice, core, some_tones(dice), cautious=level)

    return Task(rng.choice(_LEADS) + ask, answer)


def _message(rng: random.Random) -> Task:
    place = rng.randrange(len(_NAMES))
    event = rng.choice(_EVENTS)
    ask = rng.choice(("Write to my {} about {}.", "A note for my {} on {}, please.", "Draft a line to my {} about {}.",
                      "How do I tell my {} about {}?", "I must message my {} about {}.")).format(_NAMES[place], event)  # fmt: skip
    formal = (f"Dear Sir or Madam, I am writing to you concerning {event}.", f"I respectfully wish to raise the matter of {event}.",
              f"Please accept my note regarding {event} at your convenience.")  # fmt: skip
    casual = (f"Hey you, got a sec to chat about {event}?", f"Yo, about {event}, give me a shout!",
              f"Hiya, just pinging you on {event}, talk soon!")  # fmt: skip
    wants_formal = place < _FORMAL_TO

    def answer(dice: random.Random, good: bool) -> Answer:
        del good
        is_formal = dice.random() < 0.5
        core = dice.choice(formal if is_formal else casual)
        fit = 1.0 if is_formal == wants_formal else -1.0
        return dress(dice, core, some_tones(dice, most=1), fitting=0.6 * fit, formal=0.3 if is_formal else -0.3)

    return Task(rng.choice(_LEADS) + ask, answer)


def _explain(rng: random.Random) -> Task:
    why = rng.choice(sorted(_WHYS))
    ask = rng.choice(("Why is it that {}?", "Explain why {}.", "Do you know why {}?", "I wonder why {}.", "My child asks why {}.",
                      "Tell me why {}.", "What is the reason that {}?")).format(why)  # fmt: skip
    brief, full = _WHYS[why]

    def answer(dice: random.Random, good: bool) -> Answer:
        del good
        detailed = dice.random() < 0.5
        # Short explanations get more tone around them, so that length does not give detail away.
        tones = some_tones(dice) if detailed else ["plain", *some_tones(dice)]
        return dress(dice, full if detailed else brief, tones, detailed=0.8 if detailed else -0.6)

    return Task(rng.choice(_LEADS) + ask, answer)


def _chat(rng: random.Random) -> Task:
    feeling = rng.choice(
        ("tired", "bored", "proud", "nervous", "happy", "lonely", "busy", "lucky", "hungry", "curious")
    )
    event = rng.choice(("my first day at work", "the match", "moving house", "the dentist", "a long week", "my new puppy",
                        "the school play", "cooking for ten", "a flat tyre", "my driving test"))  # fmt: skip
    ask = rng.choice(
        ("I feel {} after {}.", "{}! That is how {} left me.", "I am {} because of {}.", "Guess who is {} about {}.")
    )
    cores = (f"{event.capitalize()} can do that to people.", f"Being {feeling} makes sense to me.", "Tomorrow is another day.",
             f"Many feel {feeling} about {event}.", "Tell me more about it.")  # fmt: skip

    def answer(dice: random.Random, good: bool) -> Answer:
        del good
        tones = dice.sample(("warm", "cold", "funny", "plain", "casual", "formal"), 2)
        return dress(dice, dice.choice(cores), tones)

    prompt = ask.format(feeling, event)
    return Task(rng.choice(_LEADS) + prompt[0].upper() + prompt[1:], answer)


FAMILIES: tuple[Family, ...] = (
    Family("capitals", "objective", _capital),
    Family("knowledge", "objective", _sense),
    Family("how-to", "objective", _topic),
    Family("counting", "objective", _count),
    Family("sums", "objective", _sum),
    Family("advice", "subjective", _advice),
    Family("messages", "subjective", _message),
    Family("explanations", "subjective", _explain),
    Family("small-talk", "subjective", _chat),
)
