import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataspoke.catalogue import Dataset, Field, ForeignKey
from dataspoke.knowledge.model import Vocabulary
from dataspoke.knowledge.vocabulary import abbreviates, expanded, learn

HIVE = "urn:li:dataPlatform:hive"


def table(name: str, *columns: str, **described: str) -> Dataset:
    fields = [Field(column) for column in columns]
    fields += [Field(column, description=text) for column, text in described.items()]
    urn = f"urn:li:dataset:({HIVE},{name},PROD)"
    return Dataset(urn, name, HIVE, fields=tuple(fields))


def learned(*datasets: Dataset) -> dict[str, tuple[str, ...]]:
    return dict(learn(datasets, {}).expansions)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("dept", "department"),
        ("desc", "description"),
        ("amt", "amount"),
        ("qty", "quantity"),
        ("yr", "year"),
        ("org", "organization"),
        ("addr", "address"),
    ],
)
def test_letters_in_order_abbreviate_a_word(short: str, long: str) -> None:
    assert abbreviates(short, long)
    assert not abbreviates(long, short)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("state", "statement"),  # longer than what is cut off
        ("pay", "payment"),
        ("term", "terms"),
        ("ship", "shipping"),
        ("dept", "apartment"),
        ("d", "date"),
        ("no", "not"),
        ("2024", "20241"),
        ("category", "categories"),
    ],
)
def test_other_words_are_not_abbreviated(short: str, long: str) -> None:
    assert not abbreviates(short, long)


@given(st.text(string.ascii_lowercase, max_size=8), st.text(string.ascii_lowercase, max_size=12))
def test_an_abbreviation_is_shorter_and_begins_alike(short: str, long: str) -> None:
    if abbreviates(short, long):
        assert short[0] == long[0]
        assert len(short) < len(long)


def test_descriptions_spell_out_what_names_abbreviate() -> None:
    found = learned(
        table("hr.staff", dept_no="Number of the department", dob="Date of birth"),
        table("hr.rooms", dept_code="Code of a department"),
        table("crm.people", birth_dob="The person's date of birth"),
    )
    assert found == {"dept": ("department",), "dob": ("date of birth",)}


def test_names_of_a_schema_that_differ_in_one_word_tell_what_it_stands_for() -> None:
    assert learned(
        table("hr.staff", "dept_code", "dept_name"),
        table("hr.units", "department_code", "department_name"),
    ) == {"dept": ("department",)}
    # In two schemas they may be two things.
    assert not learned(
        table("hr.staff", "dept_code", "dept_name"),
        table("crm.units", "department_code", "department_name"),
    )


def test_a_key_tells_by_the_table_that_it_refers_to() -> None:
    customers = table("shop.customers", "id")

    def referring(name: str, column: str) -> Dataset:
        keys = (ForeignKey((column,), customers.urn, ("id",)),)
        return replace(table(name, column), foreign_keys=keys)

    datasets = [customers, referring("shop.orders", "cust_id"), referring("shop.tills", "cust_no")]
    assert learned(*datasets) == {"cust": ("customers",)}
    assert not learned(*datasets[:2])


def test_what_might_stand_for_two_words_stands_for_none() -> None:
    spelled = [table(f"a{n}.t", res_id="Key of the restaurant") for n in range(3)]
    assert learned(*spelled) == {"res": ("restaurant",)}
    rivals = [table(f"b{n}.t", res_no="Number of the reservation") for n in range(2)]
    assert not learned(*spelled, *rivals)


def test_forms_of_a_word_are_one() -> None:
    found = learned(
        table("a.t", emp_id="Key of the employee", emp_no="Number of employees"),
        table("b.t", emp_name="Employee's name"),
    )
    assert found == {"emp": ("employee",)}


def test_a_word_that_people_write_is_no_abbreviation() -> None:
    found = learned(
        table("a.t", term_code="Terminal", term_name="Terminal"),
        table("b.t", x="Winter term", y="Term of a loan"),
        table("c.t", x="School term"),
        table("d.t", x="In the long term"),
    )
    assert "term" not in found


def test_compounds_of_known_words_are_not_spelled_out() -> None:
    found = learned(
        table("a.t", "date_made", "datetime_made", "date_sold", "datetime_sold", "time"),
    )
    assert "date" not in found


def test_terms_are_called_by_their_initials_and_synonyms() -> None:
    glossary = {
        "Customer Lifetime Value": "What a customer is worth.",
        "Annual Recurring Revenue (ARR)": "Revenue of a year.",
        "Cost of Goods Sold": "COGS to accountants.",
        "Customer": "Somebody who buys. Also known as client, or account holder.",
        "Net Promoter Score": "How many would recommend us.",
    }
    catalogue = [table("mart.kpis", "clv", "cogs_eur")]
    assert dict(learn(catalogue, glossary).expansions) == {
        "arr": ("annual recurring revenue",),
        "client": ("customer",),
        "clv": ("customer lifetime value",),
        "cogs": ("cost of goods sold",),
        "customer": ("client", "account holder"),
    }


@given(st.permutations(range(4)))
def test_the_order_of_datasets_does_not_matter(order: list[int]) -> None:
    datasets = [
        table("hr.staff", "dept_code", amt="An amount"),
        table("hr.units", "department_code", "dept_no"),
        table("hr.rooms", "department_no", amt_net="Net amount"),
        table("hr.x", "dpt_no", "deposit_no"),
    ]
    assert learn([datasets[n] for n in order], {}) == learn(datasets, {})


def test_names_are_expanded() -> None:
    vocabulary = Vocabulary({"dept": ("department",), "dob": ("date of birth", "birthday")})
    assert expanded("dept code", vocabulary) == "department code"
    assert expanded("dob", vocabulary) == "date of birth birthday"
    assert expanded("order code", vocabulary) == ""
