"""`make release-check`: what it refuses. That it passes is seen where a release is made."""

import programs
import pytest

release = programs.tool("release")
if release is None:
    pytest.skip("the tools are not beside the tests", allow_module_level=True)

URLS = "".join(f'{label} = "https://example.org"\n' for label in release.URLS)
READY = {
    "pyproject.toml": f"[project.urls]\n{URLS}",
    "CITATION.cff": "version: 1.2.0\ndate-released: 2027-01-31\nrepository-code: https://example.org\n",
    "conda/recipe.yaml": "about:\n  homepage: https://example.org\n",
    "README.md": "[notes](https://example.org/NOTES.md)\n\n```\n[not a link](NOTES.md)\n```\n",
    "CHANGELOG.md": "## [Unreleased]\n\n## [1.2.0] - 2027-01-31\n\n- New.\n",
}


def refusal(folder, check, **changes):
    """What a check says of a clone with the files READY, of which some have another text; None if it passes."""
    programs.write(folder, READY | {name.replace("__", "/").replace("_", "."): text for name, text in changes.items()})
    try:
        check(release.Release(folder, "1.2.0", folder / "dist", offline=True))
    except release.CheckError as error:
        return str(error)
    return None


@pytest.mark.parametrize("check", [release.check_urls, release.check_readme_links, release.check_changelog])
def test_a_release_that_is_ready_passes(check, tmp_path):
    assert refusal(tmp_path, check) is None


def test_missing_addresses_are_named(tmp_path):
    message = refusal(tmp_path, release.check_urls, pyproject_toml='[project.urls]\nSource = "https://example.org"\n')
    assert "has no Homepage, Documentation, Issues, Changelog" in message
    assert "has no Homepage" in refusal(tmp_path, release.check_urls, pyproject_toml="[project]\n")
    assert "conda/recipe.yaml has no homepage" in refusal(tmp_path, release.check_urls, conda__recipe_yaml="about:\n")


def test_links_of_the_readme_must_not_be_relative(tmp_path):
    message = refusal(tmp_path, release.check_readme_links, README_md="[a](NOTES.md#x) ![b](b.png) [c](#here)\n")
    assert message.endswith(": NOTES.md, b.png")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("## [Unreleased]\n\n- Old.\n\n## [1.2.0] - 2027-01-31\n", "has entries under Unreleased"),
        ("## [Unreleased]\n\n## [1.2.0]\n", "has no section '## [1.2.0] - YYYY-MM-DD'"),
        ("## [1.1.0] - 2027-01-31\n", "has no section '## [1.2.0] - YYYY-MM-DD'"),
        ("## [1.2.0] - 2027-02-01\n", "CITATION.cff has no 'date-released: 2027-02-01'"),
    ],
)
def test_the_changelog_must_have_a_dated_section(text, problem, tmp_path):
    assert problem in refusal(tmp_path, release.check_changelog, CHANGELOG_md=text)


def test_a_tag_cannot_be_given_twice(tmp_path):
    programs.git(tmp_path, "init", "--quiet")
    programs.git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "A release")
    programs.git(tmp_path, "tag", "v1.1.0")
    assert refusal(tmp_path, release.check_tag) is None
    programs.git(tmp_path, "tag", "v1.2.0")
    assert "there is a tag v1.2.0 already" in refusal(tmp_path, release.check_tag)


def test_a_command_that_fails_says_what_it_printed(tmp_path):
    with pytest.raises(release.CheckError, match=r"(?s)git status.*not a git repository"):
        release.run("git", "status", cwd=tmp_path)
