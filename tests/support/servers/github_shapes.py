"""The JSON objects of GitHub's REST API that `github_api` sends, from what git says.

Shapes: https://docs.github.com/en/rest/commits/commits, …/rest/git/refs, …/rest/git/tags,
…/rest/branches/branches. What no client of this project reads (avatars, verification) is left out.
"""

from __future__ import annotations

import dataclasses
import re

from support.servers.git_repository import EMPTY_TREE, Commit, Comparison, GitRepository, Json

ZONE = re.compile(r"(.*) <(.*)> (\d+) ([+-]\d{4})")


@dataclasses.dataclass(frozen=True, slots=True)
class Shapes:
    """`base` is the API's address of the repository, `html` that of its pages."""

    repository: GitRepository
    name: str
    base: str

    @property
    def html(self) -> str:
        """Where a person would look at it."""
        return f"https://github.com/{self.name}"

    def about(self, number: int, *, private: bool) -> Json:
        """The repository itself."""
        owner, _, name = self.name.partition("/")
        return {
            "id": number,
            "name": name,
            "full_name": self.name,
            "owner": {"login": owner, "id": 1, "type": "Organization"},
            "private": private,
            "visibility": "private" if private else "public",
            "fork": False,
            "archived": False,
            "default_branch": self.repository.default_branch(),
            "url": self.base,
            "html_url": self.html,
        }

    def commit(self, commit: Commit) -> Json:
        """A commit as it stands in lists."""
        people = {
            role: dict(zip(("name", "email", "date"), person, strict=True))
            for role, person in (("author", commit.author), ("committer", commit.committer))
        }
        tree = {"sha": commit.tree, "url": f"{self.base}/git/trees/{commit.tree}"}
        return {
            **self._link(commit.sha),
            "commit": {
                **people,
                "message": commit.message,
                "tree": tree,
                "url": f"{self.base}/git/commits/{commit.sha}",
            },
            "author": None,
            "committer": None,
            "parents": [self._link(sha) for sha in commit.parents],
        }

    def commits(self, shas: list[str]) -> list[Json]:
        """Several, in the order given."""
        return [self.commit(commit) for commit in self.repository.commits(shas)]

    def full_commit(self, sha: str) -> Json:
        """A commit with its files and their counts."""
        [commit] = self.repository.commits([sha])
        files = self.repository.files(commit.parents[0] if commit.parents else EMPTY_TREE, sha)
        added, removed = (sum(f[part] for f in files) for part in ("additions", "deletions"))
        stats = {"additions": added, "deletions": removed, "total": added + removed}
        return {**self.commit(commit), "stats": stats, "files": files}

    def comparison(self, basehead: str, base: str, found: Comparison, page: list[str]) -> Json:
        """A comparison with one page of its commits, still without files."""
        url = f"{self.html}/compare/{basehead}"
        return {
            "url": f"{self.base}/compare/{basehead}",
            "html_url": url,
            "permalink_url": url,
            "diff_url": f"{url}.diff",
            "patch_url": f"{url}.patch",
            "base_commit": self.commits([base])[0],
            "merge_base_commit": self.commits([found.merge_base])[0],
            "status": found.status,
            "ahead_by": found.ahead_by,
            "behind_by": found.behind_by,
            "total_commits": found.ahead_by,
            "commits": self.commits(page),
        }

    def branch(self, name: str, sha: str) -> Json:
        """A branch, unprotected."""
        url = f"{self.base}/branches/{name}"
        return {
            "name": name,
            "commit": self.commits([sha])[0],
            "_links": {"self": url, "html": f"{self.html}/tree/{name}"},
            "protected": False,
            "protection_url": f"{url}/protection",
        }

    def ref(self, name: str, sha: str, kind: str) -> Json:
        """A git reference by its full name."""
        return {"ref": name, "url": f"{self.base}/git/{name}", "object": self._object(sha, kind)}

    def tag(self, sha: str, fields: dict[str, str], message: str) -> Json:
        """An annotated tag's object."""
        tagger = ZONE.fullmatch(fields.get("tagger", ""))
        date = self.repository.utc(tagger[3]) if tagger else ""
        return {
            "sha": sha,
            "url": f"{self.base}/git/tags/{sha}",
            "tag": fields["tag"],
            "message": message,
            "tagger": {"name": tagger[1], "email": tagger[2], "date": date} if tagger else None,
            "object": self._object(fields["object"], fields["type"]),
        }

    def _object(self, sha: str, kind: str) -> Json:
        return {"sha": sha, "type": kind, "url": f"{self.base}/git/{kind}s/{sha}"}

    def _link(self, sha: str) -> Json:
        html = f"{self.html}/commit/{sha}"
        return {"sha": sha, "url": f"{self.base}/commits/{sha}", "html_url": html}
