"""Every way to deny the service that was ever found, all at once, while an honest token pushes: `make denial`.

confinement   the memory that the shipped deployments give the service
client        requests over plain sockets, also those that no library sends
attacks       one coroutine for each way, over and over
honest        the pushes and probes that have to go on
"""
