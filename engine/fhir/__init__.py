"""What FHIR itself says: exact JSON, the types of each version, references, dates, profiles."""
