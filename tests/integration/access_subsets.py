"""What each principal sees of lists, by hand; see access_table for who they are."""

from __future__ import annotations

from collections.abc import Mapping

from kit.auth.demand import EVERYTHING, NOTHING, Subset
from onward.common.v1 import access_pb2 as a
from tests.integration.access_table import CHANGES_PLACE, KEEPS, READS_AND_KEEPS, READS_OR_KEEPS, SEES_PLACE

# The destinations that ListDestinations answers. Others are refused.
LISTED_DESTINATIONS: Mapping[str, str] = {
    "owner": "crm-ios crm-web erp-ios erp-web",
    "admin": "crm-ios crm-web erp-ios erp-web",
    "admin-crm": "crm-ios crm-web",
    "reader": "crm-ios crm-web erp-ios erp-web",
    "reader-crm": "crm-ios crm-web",
    "keeper": "crm-ios crm-web erp-ios erp-web",
    "keeper-web": "crm-web erp-web",
    "builder": "crm-ios crm-web erp-web",
    "narrow": "crm-ios crm-web erp-web",
    "robot": "crm-ios crm-web erp-ios erp-web",
}

# The functions that ListFunctions answers: whole, and by name alone. Others are refused.
LISTED_FUNCTIONS: Mapping[str, tuple[str, str]] = {
    "owner": ("crm erp", ""),
    "admin": ("crm erp", ""),
    "admin-crm": ("crm", "erp"),
    "reader": ("crm erp", ""),
    "reader-crm": ("crm", "erp"),
    "keeper": ("", "crm erp"),
    "keeper-web": ("", "crm erp"),
    "builder": ("crm", "erp"),
    "member": ("", "crm erp"),
    "auditor": ("", ""),
    "narrow": ("crm", "erp"),
    "robot": ("crm erp", ""),
}
# The same with deleted ones.
LISTED_DELETED: Mapping[str, tuple[str, str]] = {"owner": ("crm erp gon", ""), "auditor": ("gon", "")}

# The functions and sources within which partial answers of other services keep, for those who are let in.
_CRM, _CRM_GON, _WEB = Subset.of(["crm"]), Subset.of(["crm", "gon"]), Subset.of(["web"])
SUBSETS: Mapping[str, tuple[Subset, Subset]] = {
    "owner": (EVERYTHING, EVERYTHING),
    "admin": (EVERYTHING, NOTHING),
    "admin-crm": (_CRM_GON, NOTHING),
    "reader": (EVERYTHING, NOTHING),
    "reader-crm": (_CRM_GON, NOTHING),
    "keeper": (NOTHING, EVERYTHING),
    "keeper-web": (NOTHING, _WEB),
    "builder": (_CRM, _WEB),
    "narrow": (_CRM, _WEB),
    "robot": (EVERYTHING, _WEB),
}

_EVERYWHERE = {
    a.PERMISSION_WORKSPACE_ENTER: "a role in the workspace",
    a.PERMISSION_WORKSPACE_VIEW: "a role in the workspace other than auditor",
    a.PERMISSION_WORKSPACE_ADMINISTER: "owner",
    a.PERMISSION_AUDIT_VIEW: "owner or auditor",
    a.PERMISSION_FUNCTION_CREATE: "functions-admin on all functions",
}
# What TestPermissions tells of, by the first part of the resource; in words of access_table.WHO.
PERMISSIONS: Mapping[str, Mapping[a.Permission.ValueType, str]] = {
    "": {
        **_EVERYWHERE,
        a.PERMISSION_FILTER_VIEW: SEES_PLACE,
        a.PERMISSION_FILTER_ADMINISTER: CHANGES_PLACE,
    },
    "functions": {
        **_EVERYWHERE,
        a.PERMISSION_FUNCTION_VIEW: "functions-read-only on the function",
        a.PERMISSION_FUNCTION_EDIT: "functions-admin on the function",
    },
    "sources": {
        **_EVERYWHERE,
        a.PERMISSION_SOURCE_ADMINISTER: "source-admin on the source",
        a.PERMISSION_DELIVERY_VIEW: "source-admin on the source",
        a.PERMISSION_FILTER_VIEW: SEES_PLACE,
        a.PERMISSION_FILTER_ADMINISTER: CHANGES_PLACE,
    },
    "destinations": {
        **_EVERYWHERE,
        a.PERMISSION_DESTINATION_VIEW: READS_OR_KEEPS,
        a.PERMISSION_DESTINATION_ADMINISTER: READS_AND_KEEPS,
        a.PERMISSION_DELIVERY_VIEW: KEEPS,
        a.PERMISSION_DELIVERY_OPERATE: READS_AND_KEEPS,
        a.PERMISSION_FILTER_VIEW: SEES_PLACE,
        a.PERMISSION_FILTER_ADMINISTER: CHANGES_PLACE,
    },
}
