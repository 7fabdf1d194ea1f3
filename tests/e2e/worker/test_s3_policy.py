"""The rights of the worker on a real S3 server: the policy allows all that it does and nothing else."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from celery import Celery

from tests.support.running import ROOT, World, wait_until
from tests.support.s3_server import S3Server
from worker.storage.base import StorageUnavailable

POLICY = ROOT / "deploy/s3-policy.json"


def client_of(service: str, environment: dict[str, str]) -> Any:
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


class Buckets:
    """Three buckets of an owner, and a user `worker` with the rights of the policy on two of them."""

    def __init__(self, server: S3Server) -> None:
        suffix = str(uuid.uuid4())
        self.scans, self.results, self.other = (f"{name}-{suffix}" for name in ("scans", "results", "other"))
        self.owner = client_of("s3", server.environment)
        for bucket in (self.scans, self.results, self.other):
            self.owner.create_bucket(Bucket=bucket)
            self.owner.put_object(Bucket=bucket, Key="there/already", Body=b"x")
        self.owner.put_bucket_versioning(Bucket=self.results, VersioningConfiguration={"Status": "Enabled"})
        self.worker = server.add_user("worker")
        text = POLICY.read_text()
        for name, bucket in (("scans", self.scans), ("results", self.results)):
            text = re.sub(rf"arn:aws:s3:::{name}\b", f"arn:aws:s3:::{bucket}", text)
        client_of("iam", server.environment).put_user_policy(
            UserName="worker", PolicyName="worker", PolicyDocument=text
        )


@pytest.fixture(scope="module")
def buckets(s3_server) -> Buckets:
    return Buckets(s3_server)


def test_the_policy_lists_only_the_rights_that_are_needed():
    policy = json.loads(POLICY.read_text())
    rights = {
        (action, resource.removeprefix("arn:aws:s3:::"))
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}
    assert rights == {
        ("s3:ListBucket", "scans"),
        ("s3:ListBucket", "results"),
        ("s3:GetObject", "scans/*"),
        ("s3:GetObject", "results/*"),
        ("s3:PutObject", "results/*"),
        ("s3:DeleteObject", "results/*"),
        # To erase a scan in a bucket that keeps versions.
        ("s3:ListBucketVersions", "results"),
        ("s3:DeleteObjectVersion", "results/*"),
    }


def test_a_worker_with_these_rights_can_do_all_its_work(buckets, tmp_path_factory, redis_server, make_scan):
    tasks, answers = redis_server.emptied(10, 11)
    world = World(
        tmp_path_factory.mktemp("policy"),
        {
            "CELERY_BROKER_URL": tasks,
            "CELERY_RESULT_BACKEND": answers,
            "SCANS_URL": f"s3://{buckets.scans}",
            "RESULTS_URL": f"s3://{buckets.results}/pose",
            **buckets.worker,
        },
    )
    producer = Celery(broker=tasks, backend=answers, set_as_current=False)
    for name, data in make_scan(frames=2).items():
        buckets.owner.put_object(Bucket=buckets.scans, Key=f"scan/{name}", Body=data)
    with world.start_worker("-n", "policy@%h") as worker:
        worker.wait_for_event("worker_ready")
        world.enqueue("scan", "missing")
        assert world.wait_for("scan", "completed", "failed")["status"] == "completed"
        assert (
            world.wait_for("missing", "failed")["reason"]
            == "the storage of scans holds no files of this scan"
        )
        # Again, because a new analysis deletes the artefacts of an earlier one.
        world.results.write("scan/frames/7/blurred.jpg", b"from an earlier analysis", "image/jpeg")
        before = world.status("scan")["finished_at"]
        done = world.call("worker", "enqueue", "--force", "scan")
        assert done.returncode == 0, done.stderr
        wait_until(lambda: world.status("scan").get("finished_at") not in (None, before), "another run")
        assert world.status("scan")["status"] == "completed"
        swept = world.call("worker", "reconcile", "--all")
        assert swept.returncode == 0, swept.stderr
        assert "scan/frames/7/blurred.jpg" not in {each.key for each in world.results.objects("scan", 1000)}
        erased = world.call("worker", "erase", "scan")
        assert (erased.returncode, "proven: nothing names it any more" in erased.stdout) == (0, True), erased
        # A program that does not know of the erasure sends the scan again, past all checks.
        task_id = producer.send_task("worker.process_scan", kwargs={"scan_id": "scan"}).id
        with redis_server.client(11) as client:

            def answer() -> bytes:
                return client.get(f"celery-task-meta-{task_id}") or b""

            wait_until(lambda: b"the scan was erased" in answer(), "the refusal")
            assert b'"scan"' not in answer()
        assert "denied" not in worker.log()
    versions = buckets.owner.list_object_versions(Bucket=buckets.results, Prefix="pose/scan/")
    assert (versions.get("Versions"), versions.get("DeleteMarkers")) == (None, None)
    with pytest.raises(StorageUnavailable, match="scans: access was denied"):
        world.scans.write("scan/more", b"x", "text/plain")


CALLS = {
    "write a scan": lambda s3, at: s3.put_object(Bucket=at.scans, Key="scan/new", Body=b"x"),
    "overwrite a scan": lambda s3, at: s3.put_object(Bucket=at.scans, Key="there/already", Body=b"y"),
    "delete a scan": lambda s3, at: s3.delete_object(Bucket=at.scans, Key="there/already"),
    "upload a scan in parts": lambda s3, at: s3.create_multipart_upload(Bucket=at.scans, Key="parts"),
    "copy over a scan": lambda s3, at: s3.copy_object(
        Bucket=at.scans, Key="copy", CopySource={"Bucket": at.results, "Key": "there/already"}
    ),
    "read another bucket": lambda s3, at: s3.get_object(Bucket=at.other, Key="there/already"),
    "list another bucket": lambda s3, at: s3.list_objects_v2(Bucket=at.other),
    "write to another bucket": lambda s3, at: s3.put_object(Bucket=at.other, Key="new", Body=b"x"),
    "delete a bucket": lambda s3, at: s3.delete_bucket(Bucket=at.other),
    "open results to all": lambda s3, at: s3.put_bucket_acl(Bucket=at.results, ACL="public-read"),
    "open an object to all": lambda s3, at: s3.put_object_acl(
        Bucket=at.results, Key="there/already", ACL="public-read"
    ),
    "change a policy": lambda s3, at: s3.put_bucket_policy(Bucket=at.results, Policy=POLICY.read_text()),
}


@pytest.mark.parametrize("what", CALLS)
def test_the_worker_is_not_allowed_to(buckets, what):
    with pytest.raises(ClientError) as error:
        CALLS[what](client_of("s3", buckets.worker), buckets)
    assert error.value.response["Error"]["Code"] == "AccessDenied"
    left = buckets.owner.get_object(Bucket=buckets.scans, Key="there/already")["Body"].read()
    assert left == b"x"


def test_the_policy_has_the_bucket_names_of_the_readme():
    readme = Path(ROOT / "README.md").read_text()
    assert "SCANS_URL=s3://scans RESULTS_URL=s3://results/pose" in readme
    assert (
        "`deploy/s3-policy.json`, for the buckets `scans` and `results`"
        in Path(ROOT / "docs/settings.md").read_text()
    )
