import unseen_seeds


def test_only_cells_that_claims_need_are_run():
    cells = [
        "import numpy as np\nfrom epochlab import Check, claim",
        "model = np.zeros(3)",
        "history = model.sum()",
        "numbers = []\nfor i in range(3):\n    numbers.append(i)",
        "numbers.append(3)",
        "ax = np.ones(2)",
        "def total():\n    return sum(numbers)",
        'claim("total", "It is six.", Check.equal(total(), 6))',
    ]
    assert unseen_seeds.needed(cells) == [
        (cells[0], False),
        (cells[3], False),
        (cells[4], False),
        (cells[6], False),
        (cells[7], True),
    ]


def test_what_does_not_hold_is_told_and_the_next_claim_is_tried():
    cells = [
        ("from epochlab import Check, claim", False),
        ('claim("a", "One is two.", Check.equal(1, 2))', True),
        ('claim("b", "One is one.", Check.equal(1, 1))', True),
        ('claim("c", "Two is one.", Check.equal(2, 1))', True),
    ]
    first, second = unseen_seeds.failures(cells)
    assert first.startswith("✗ a One is two.") and second.startswith("✗ c Two is one.")
