"""Archives and options -> a plan.

attached_manifests  referrers and tagged artifacts of an image
completeness        are the selected images complete? pure
docker_manifest     the manifest of a docker archive's image
format_check        the option `format`
image_content       manifests and blobs of one image
naming              embedded names + options -> destinations
open_archives       open the archives of one request
planning            make_plan()
refusals            images of a plan that cannot be pushed
renames             the option `rename`
sparse_index        indexes that lack children
values              PushPlan and its parts
"""
