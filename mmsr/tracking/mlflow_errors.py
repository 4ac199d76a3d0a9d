"""MLflow's errors as those of a sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmsr.tracking.databases import reason
from mmsr.tracking.journal.sink import Blocked, Forgotten, Refused, Unavailable
from mmsr.urls import Url

_FINAL = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE")


@contextmanager
def translated(uri: Url) -> Iterator[None]:
    """Turn MLflow's errors, which repeat its URI, into `Unavailable`, `Refused` or `Forgotten`.

    Parameters
    ----------
    uri : tracking URI, whose secrets are left out.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        said, unreached, _ = reason(error, uri).partition(" failed with exception")
        message = said[:200]
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise Forgotten(message) from None
        if error.error_code in _FINAL:
            raise Refused(message) from None
        away = unreached or error.error_code == "TEMPORARILY_UNAVAILABLE"
        raise (Unavailable if away else Blocked)(message) from None
    except (OSError, SQLAlchemyError) as error:
        raise Unavailable(reason(error, uri)[:200]) from None
    except (Unavailable, Refused, Forgotten):
        raise
    except Exception as error:  # no error of the client may stop the shipping of other events
        raise Refused(f"{type(error).__name__}: {reason(error, uri)[:200]}") from None
