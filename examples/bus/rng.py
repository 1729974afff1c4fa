"""A service for random things: uuid, and password(length=12).

python rng.py --port 7379
redis-cli -p 7379 BUS.CALL rng password ARGS 20
"""

import secrets
import string
import uuid as uuids

from service import Service

service = Service("rng")


@service.method("DESCRIPTION", "a random UUID")
def uuid():
    return uuids.uuid4()


@service.method("PARAMS", 1, "length=12", "DESCRIPTION", "a password of letters and digits")
def password(length):
    letters = string.ascii_letters + string.digits
    return "".join(secrets.choice(letters) for _ in range(int(length)))


service.run()
