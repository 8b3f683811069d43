"""The page in a real browser: opened from disk, nothing fetched, nothing complained of; filters, sorting, copying."""

import shutil
from contextlib import contextmanager

import pytest
from reported_runs import (
    ODD_CLASSES,
    SCRIPT,
    digits_run_fixture,  # noqa: F401
    made,
    pictures_fixture,  # noqa: F401
    pictures_run_fixture,  # noqa: F401
    texts_run_fixture,  # noqa: F401
)
from sklearn.datasets import load_digits

import unseen
from unseen.data import resolve

SCHEMES = [(width, scheme) for width in (390, 1280) for scheme in ("light", "dark")]


@pytest.fixture(scope="module")
def browser():
    """Chromium; the tests are skipped where it, or what drives it, is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on the path; apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory, digits_run, pictures_run, texts_run):
    """The reports, each in a file of its own."""
    folder = tmp_path_factory.mktemp("reports")
    runs = {"digits": digits_run, "pictures": pictures_run, "texts": texts_run}
    return {name: unseen.report(run, out=folder / f"{name} 'q\".html", images=8) for name, run in runs.items()}


class Kinds(dict):
    """A report of each verb that writes one, and one with three charts: prune, an evaluation and in-sample scores.

    Each is made when it is first asked for.
    """

    def __init__(self, folder, digits_run):
        super().__init__()
        self.folder, self.digits_run = folder, digits_run

    def __missing__(self, name):
        out, quick = self.folder / name, {"learner": "ridge", "threads": 1, "out": self.folder / name}
        few = tuple(part[:400] for part in load_digits(return_X_y=True))
        if name == "grow":
            unseen.grow(few, keep=0.3, steps=2, **quick)
        elif name == "evaluate":
            unseen.evaluate("digits", coresets=unseen.load(self.digits_run).coreset, seeds=3, **quick)
        elif name == "sweep":
            unseen.sweep(few, methods=["folds:k=2/el2n/top"], keep=[0.5, 0.2], seeds=2, **quick)
        elif name == "advise":
            unseen.advise(few, quick=True, seeds=3, searching=1, step=0.5, **quick)
        beside = []
        if name == "all":
            made(self.folder / "seen", resolve("digits"), plan="seen")
            assert self["evaluate"].exists()
            beside = [self.folder / "evaluate", self.folder / "seen"]
        run = out if out.is_dir() else self.digits_run
        self[name] = unseen.report(run, beside=beside, images=8, out=self.folder / f"{name}.html")
        return self[name]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory, digits_run):
    return Kinds(tmp_path_factory.mktemp("kinds"), digits_run)


@contextmanager
def opened(browser, path, *, width=1280, scheme="light"):
    """A page, and everything that the browser complained of, asked for or asked the user."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.resolve().as_uri())
    yield page
    page.close()


@pytest.mark.parametrize("name", ["digits", "pictures", "texts"])
def test_it_opens_from_disk_quietly(browser, files, name):
    with opened(browser, files[name]) as page:
        assert page.said == []
        assert [url for url in page.asked if not url.startswith("data:")] == [files[name].resolve().as_uri()]
        charts = page.locator("svg.chart")
        assert charts.count() >= 1
        assert all(charts.nth(i).bounding_box()["height"] > 100 for i in range(charts.count()))
        pictures = page.locator("img").evaluate_all("all => all.filter(one => one.naturalWidth > 0).length")
        assert pictures == page.locator("img").count()
        assert (pictures > 0) == (name != "texts")


@pytest.mark.parametrize(("width", "scheme"), SCHEMES)
def test_it_fits_and_can_be_read(browser, files, width, scheme):
    with opened(browser, files["pictures"], width=width, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Contrast of text and paper, as WCAG has it.
        contrast = page.evaluate("""() => {
            const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((part) => {
                const share = part / 255;
                return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
            }).reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
            const paper = light(getComputedStyle(document.body).backgroundColor);
            return ["body", ".lead", ".figures span", ".guess", "svg.chart text"].map((place) => {
                const style = getComputedStyle(document.querySelector(place));
                const ink = light(place.includes("text") ? style.fill : style.color);
                return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
            });
        }""")
        assert min(contrast) >= 4.5


LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("grow", "evaluate", "sweep", "advise")]


@pytest.mark.parametrize("name", ["prune", "all", *LONG])
def test_no_part_of_the_screen_is_left_empty(browser, kinds, name):
    """Nothing sticks out; the verdict is above the first chart; the charts fill their rows."""
    for width in (1280, 390):
        with opened(browser, kinds[name], width=width) as page:
            assert page.said == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            boxes = page.locator(".chart-card").evaluate_all("all => all.map((one) => one.getBoundingClientRect())")
            charts = page.locator(".charts").bounding_box()
            assert page.locator(".verdict").first.bounding_box()["y"] < boxes[0]["top"]
            for top in {box["top"] for box in boxes}:
                row = [box for box in boxes if box["top"] == top]
                assert sum(box["width"] for box in row) + 16 * (len(row) - 1) == pytest.approx(charts["width"], abs=1)
                assert len({box["height"] for box in row}) == 1
            # Every letter of a drawing lies within it, and the drawing within its card.
            outside = page.locator(".chart-card").evaluate_all("""cards => cards.flatMap((card) => {
                const svg = card.querySelector("svg"), inner = svg.getBoundingClientRect();
                const within = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1
                    && a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
                const lost = [...svg.querySelectorAll("text")]
                    .filter((text) => !within(text.getBoundingClientRect(), inner)).map((text) => text.textContent);
                return within(inner, card.getBoundingClientRect()) ? lost : [...lost, card.id];
            })""")
            assert outside == []
            links = page.locator(".top a").evaluate_all("all => all.map((one) => one.getAttribute('href'))")
            assert all(page.locator(link).count() == 1 for link in links)


def test_galleries_off_the_screen_are_not_laid_out(browser, kinds):
    shown = "all => all.map((one) => one.checkVisibility({contentVisibilityAuto: true}))"
    with opened(browser, kinds["prune"]) as page:
        cards = page.locator(".card")
        at_first = cards.evaluate_all(shown)
        assert not any(at_first[len(at_first) // 2 :])
        page.locator(".wall").last.scroll_into_view_if_needed()
        for _ in range(50):  # the browser lays out what is in sight before its next picture
            page.wait_for_timeout(20)
            if any(page.locator(".wall").last.locator(".card").evaluate_all(shown)):
                break
        else:
            pytest.fail("the last gallery is in sight, but its samples are not laid out")
        page.emulate_media(media="print")
        assert all(cards.evaluate_all(shown))


def test_on_paper_charts_and_galleries_stay_whole(browser, kinds):
    with opened(browser, kinds["all"], width=700) as page:
        page.emulate_media(media="print")
        broken = page.locator(".chart-card, .wall, .verdict, tr, h2").evaluate_all(
            "all => all.filter((one) => one.tagName === 'H2' ? getComputedStyle(one).breakAfter !== 'avoid'"
            " : getComputedStyle(one).breakInside !== 'avoid').length"
        )
        assert broken == 0
        assert page.locator(".filters, .copy, .top").evaluate_all(
            "all => all.every((one) => getComputedStyle(one).display === 'none')"
        )
        # Tables do not scroll on paper: what is cut off is lost.
        assert page.evaluate("document.documentElement.scrollWidth") <= 700


def test_names_that_look_like_code_do_no_harm(browser, files):
    for name, classes in (("texts", [SCRIPT]), ("pictures", ODD_CLASSES)):
        with opened(browser, files[name]) as page:
            cells = page.locator("#class-table td.name").all_text_contents()
            assert set(classes) <= set(cells)
            assert page.locator("script").count() == 1
            assert page.said == []


def test_a_script_that_is_not_ours_is_not_run(browser, files, tmp_path):
    planted = tmp_path / "planted.html"
    page = files["digits"].read_text()
    planted.write_text(page.replace("<main>", "<main><script>alert(1)</script><img src=x onerror=alert(1)>"))
    with opened(browser, planted) as shown:
        shown.wait_for_timeout(100)
        assert shown.said
        assert not [text for text in shown.said if text.startswith("dialog")]


def test_tables_sort(browser, files):
    with opened(browser, files["digits"]) as page:
        table = page.locator("#class-table")

        def column(at):
            return table.locator(f"tbody td:nth-child({at + 1})").all_text_contents()

        heads = [text.strip() for text in table.locator("thead th").all_text_contents()]
        at = heads.index("kept")
        button = table.locator("thead button").nth(at)
        button.click()
        up = [int(text) for text in column(at)]
        assert up == sorted(up)
        assert len(set(up)) > 1
        assert table.locator("thead th").nth(at).get_attribute("aria-sort") == "ascending"
        button.click()
        assert [int(text) for text in column(at)] == up[::-1]
        table.locator("thead button").first.focus()
        page.keyboard.press("Enter")
        names = column(0)
        assert names == sorted(names)


def test_galleries_filter(browser, files):
    with opened(browser, files["digits"]) as page:
        whole = page.locator(".card:visible").count()
        page.select_option("select[name=kind]", "hardest")
        assert page.locator(".wall:visible").count() == 1
        assert page.locator(".card:visible").count() == 8
        page.select_option("select[name=kind]", "")
        label = page.locator(".wall[data-kind=pruned] .card").first.get_attribute("data-label")
        page.select_option("select[name=label]", label)
        assert set(page.locator(".card:visible b").all_text_contents()) == {label}
        page.select_option("select[name=fate]", "pruned")
        fates = page.locator(".card:visible").evaluate_all("all => all.map(one => one.dataset.fate)")
        assert set(fates) == {"pruned"}
        assert page.locator(".filters output").text_content() == f"{len(fates)} samples"
        for name in ("label", "fate"):
            page.select_option(f"select[name={name}]", "")
        assert page.locator(".card:visible").count() == whole


def test_snippets_can_be_copied_and_run(browser, files, monkeypatch, capsys):
    with opened(browser, files["digits"]) as page:
        button = page.locator(".copy").nth(2)
        button.click()
        page.wait_for_function("['Copied', 'Selected'].includes(document.querySelectorAll('.copy')[2].textContent)")
        code = page.locator("pre code").nth(2).text_content()
    exec(compile(code, "snippet", "exec"), {})
    assert len(capsys.readouterr().out.split()) == 1078


def test_it_reads_well_without_scripts(browser, files):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(files["digits"].resolve().as_uri())
    assert page.locator(".filters").is_hidden()
    assert page.locator(".wall:visible").count() >= 6
    page.close()


def test_each_chart_has_words_and_numbers(browser, files):
    with opened(browser, files["digits"]) as page:
        for card in page.locator(".chart-card").all():
            assert card.locator("svg[role=img]").get_attribute("aria-label")
            if card.locator("details:not([open])").count():
                card.locator("summary").click()
            assert card.locator("details td").first.is_visible()
        missing = page.locator("img:not([alt])").count()
        assert missing == 0
