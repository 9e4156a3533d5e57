"""The routes, one module per resource.

audit                    /audit
deliveries               /deliveries, and the report on jobs
distribution             /v2/: pull, list and delete as in the distribution-spec
docker_engine            /images/load and friends
docker_engine_documents  Docker Engine's documents
docker_engine_stream     Docker Engine's progress stream
events                   /events: the changes of all jobs
health                   /healthz, /readyz, /metrics, /registries
jobs                     /jobs
push                     POST /push, PUT /push/{filename}
status                   /status
store                    /store
uploads                  /uploads: tus 1.0 and the IETF draft
whoami                   /whoami
"""
