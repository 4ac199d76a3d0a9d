"""One type for every kind of text and of lists: what libraries write is cast as it is read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmsr.errors import UserError

_TEXTS = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
)
_LISTS = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_list_view,
    pa.types.is_large_list_view,
)


def plain(column: pa.ChunkedArray, name: str, source: str) -> pa.ChunkedArray:
    """Cast a column to the types that the importers know.

    Texts of any layout (views, dictionaries, bytes that are UTF-8) become `large_string`, lists of
    any layout `large_list`; extension types become what they are stored as. Values stay the same.

    Parameters
    ----------
    column : as the file's reader gives it.
    name, source : names of the column and of its file, for errors.

    Raises
    ------
    UserError : the values are bytes that are not UTF-8, or of a layout that cannot be cast.
    """
    try:
        chunks = [_plain(chunk) for chunk in column.chunks]
    except pa.ArrowInvalid:
        raise UserError(
            f"{source}: {name} is {column.type} and not UTF-8 text: convert it"
        ) from None
    except pa.ArrowNotImplementedError:  # Arrow has no cast from this layout
        raise UserError(
            f"{source}: {name} is {column.type}, which is not supported: write plain columns"
        ) from None
    return pa.chunked_array(chunks) if chunks else column


def common(ours: pa.DataType, theirs: pa.DataType, *, mixed: bool) -> pa.DataType:
    """The type that can hold the values of two columns.

    Parameters
    ----------
    ours, theirs : types as `plain` makes them.
    mixed : whether whole numbers may become fractions where the others are such. Within lists and
        objects they may in any case.

    Raises
    ------
    TypeError : there is none.
    """
    if ours == theirs or pa.types.is_null(theirs):
        return ours
    if pa.types.is_null(ours):
        return theirs
    if all(any(is_kind(kind) for is_kind in _LISTS) for kind in (ours, theirs)):
        return pa.large_list(common(ours.value_type, theirs.value_type, mixed=True))
    if pa.types.is_struct(ours) and pa.types.is_struct(theirs):
        fields = {field.name: field.type for field in ours}
        for field in theirs:
            fields[field.name] = common(fields.get(field.name, pa.null()), field.type, mixed=True)
        return pa.struct(list(fields.items()))
    if pa.types.is_integer(ours) and pa.types.is_integer(theirs):
        return pa.int64()
    numbers = (pa.types.is_integer, pa.types.is_floating)
    if mixed and all(any(is_kind(kind) for is_kind in numbers) for kind in (ours, theirs)):
        return pa.float64()
    raise TypeError(f"{ours} and {theirs}")


def _plain(array: pa.Array) -> pa.Array:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    if pa.types.is_dictionary(kind):
        return _plain(array.dictionary).take(array.indices)
    if pa.types.is_run_end_encoded(kind):
        return _plain(pc.run_end_decode(array))
    if any(is_kind(kind) for is_kind in _TEXTS):
        return array.cast(pa.large_string())
    if any(is_kind(kind) for is_kind in _LISTS):
        lengths = np.where(
            array.is_valid().to_numpy(zero_copy_only=False),
            pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False),
            0,
        )
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
        return pa.LargeListArray.from_arrays(
            offsets, _plain(array.flatten()), mask=array.is_null() if array.null_count else None
        )
    return array
